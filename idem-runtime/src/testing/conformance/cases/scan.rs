//! Listing records.

use std::collections::BTreeMap;

use super::super::check::{Complaint, Verdict, ensure, same, unchanged};
use super::super::harness::{Harm, Harness};
use super::super::stage::{SHORT, Stage, completion, failure, releasing, result};
use super::cases;
use crate::key::RecordKey;
use crate::record::{CrashPolicy, Record};
use crate::storage::{Claim, Complete, Storage};

const LISTED: &str =
    "A record that is there from the first page to the last is listed at least once.";
const EXPIRED: &str = "Expired records are not listed.";

cases! { "scan";
    LISTED => [
        every_record_is_listed_whatever_the_page,
        records_that_stay_are_listed_while_others_come_and_go,
        unreadable_record_is_listed_as_its_error,
    ],
    EXPIRED => [expired_records_are_not_listed, foreign_cursor_is_no_panic],
}

async fn every_record_is_listed_whatever_the_page<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claims = vec![
        stage.crashed("over", CrashPolicy::Retry).await?,
        stage.parked("parked").await?,
        stage.finished("completed", &result("1")?).await?,
        stage.finished("failed", &failure("declined")).await?,
    ];
    for number in 0..40 {
        claims.push(stage.processing(&format!("key {number}")).await?);
    }
    for limit in [1, 7, 1_000] {
        let listed = listed(stage, limit).await?;
        same("the number of keys", &listed.len(), &claims.len())?;
        for claim in &claims {
            let loaded = stage.record(&claim.key).await?;
            unchanged(Some(&loaded), listed.get(&claim.key))?;
        }
    }
    Ok(())
}

async fn records_that_stay_are_listed_while_others_come_and_go<H: Harness>(
    stage: &Stage<H>,
) -> Verdict {
    let mut stay = Vec::new();
    let mut go = Vec::new();
    for number in 0..40 {
        stay.push(stage.processing(&format!("stays {number}")).await?);
        go.push(stage.processing(&format!("goes {number}")).await?);
    }
    let mut seen = BTreeMap::new();
    let mut after = None;
    for page_number in 0..100_000 {
        let page = stage.storage().scan(after.as_ref(), 5).await?;
        for (key, record) in page.records {
            seen.insert(key, record.is_ok());
        }
        if let Some(claim) = go.pop() {
            stage.storage().release(&releasing(&claim)).await?;
            stage.processing(&format!("comes {page_number}")).await?;
        }
        after = page.next;
        if after.is_none() {
            let missing = stay.iter().filter(|claim| !seen.contains_key(&claim.key)).count();
            return same("the number of records that stayed and were not listed", &missing, &0);
        }
    }
    Err(Complaint::Violated("the scan does not end".into()))
}

async fn unreadable_record_is_listed_as_its_error<H: Harness>(stage: &Stage<H>) -> Verdict {
    let damaged = stage.processing("damaged").await?;
    let intact = stage.processing("intact").await?;
    stage.inflict(Harm::Garbage(&damaged.key)).await?;
    let listed = stage.listed(100).await?;
    let is_error = |claim: &Claim| {
        listed.iter().find(|(key, _)| *key == claim.key).map(|(_, record)| record.is_err())
    };
    same("the damaged record is an error", &is_error(&damaged), &Some(true))?;
    same("the intact record is an error", &is_error(&intact), &Some(false))
}

async fn expired_records_are_not_listed<H: Harness>(stage: &Stage<H>) -> Verdict {
    stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..stage.claim("processing")? }).await?;
    let finished = stage.processing("finished").await?;
    let complete = Complete { ttl: SHORT, ..completion(&finished, &result("1")?) };
    stage.storage().complete(&complete).await?;
    let live = stage.processing("live").await?;
    stage.outlive(SHORT + SHORT).await;
    let listed: Vec<_> = listed(stage, 10).await?.into_keys().collect();
    same("the keys listed", &listed, &vec![live.key])
}

async fn foreign_cursor_is_no_panic<H: Harness>(stage: &Stage<H>) -> Verdict {
    for text in ["", "-1", "no cursor", "18446744073709551616", "18446744073709551615", "{}:🦀"] {
        let cursor = crate::storage::Cursor(text.to_owned());
        // An error or a page, as the backend likes.
        if let Ok(page) = stage.storage().scan(Some(&cursor), 1).await {
            ensure(page.records.len() < 1_000_000, || "a page of everything".to_owned())?;
        }
    }
    Ok(())
}

async fn listed<H: Harness>(
    stage: &Stage<H>,
    limit: usize,
) -> Verdict<BTreeMap<RecordKey, Record>> {
    let mut records = BTreeMap::new();
    for (key, record) in stage.listed(limit).await? {
        records.insert(key, record?);
    }
    Ok(records)
}
