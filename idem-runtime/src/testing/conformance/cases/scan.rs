//! Listing records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::check::{Verdict, ensure, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{SHORT, Stage, completion, failure, result};
use super::cases;
use crate::key::RecordKey;
use crate::record::{CrashPolicy, Record};
use crate::storage::{Claim, Complete, Cursor};

const LISTED: &str = "A record that exists from the first page to the last is listed at least \
    once, with any `limit`; 0 counts as 1.";
const EXPIRED: &str = "Expired records are not listed.";

const CURSOR: &str = "A foreign cursor gives an error or any page, never a panic.";

cases! { "scan";
    LISTED => [
        every_record_is_listed_whatever_the_page,
        records_that_stay_are_listed_while_others_come,
        unreadable_record_is_listed_as_its_error,
    ],
    // The same bullet, with a case that purges.
    LISTED => alone [records_that_stay_are_listed_while_others_go],
    EXPIRED => [expired_records_are_not_listed],
    CURSOR => [foreign_cursor_is_no_panic],
}

/// A retention that is over at once.
const BLINK: Duration = Duration::from_millis(1);

async fn every_record_is_listed_whatever_the_page<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claims = vec![
        stage.crashed("over", CrashPolicy::Retry).await?,
        stage.parked("parked").await?,
        stage.finished("completed", &result("1")?).await?,
        stage.finished("failed", &failure("declined")).await?,
        stage.released(stage.claim("released")?).await?,
    ];
    for number in 0..40 {
        claims.push(stage.processing(&format!("key {number}")).await?);
    }
    for limit in [0, 1, 7, 1_000] {
        let listed = listed(stage, limit).await?;
        same("the number of keys", &listed.len(), &claims.len())?;
        for claim in &claims {
            let loaded = stage.record(&claim.key).await?;
            stage.same_record(&claim.key, Some(&loaded), listed.get(&claim.key))?;
        }
    }
    Ok(())
}

async fn records_that_stay_are_listed_while_others_go<H: Harness>(stage: &Stage<H>) -> Verdict {
    let stay = many(stage, "stays").await?;
    let mut go = many(stage, "goes").await?;
    let mut pages = Pages::new(5);
    while pages.turn(stage).await? {
        if let Some(claim) = go.pop() {
            let complete = Complete { ttl: BLINK, ..completion(&claim, &result("1")?) };
            stage.storage().complete(&complete).await?;
            stage.elapse(BLINK * 2).await;
            stage.storage().purge(1_000).await?;
        }
    }
    pages.list_all(&stay)
}

async fn records_that_stay_are_listed_while_others_come<H: Harness>(stage: &Stage<H>) -> Verdict {
    let stay = many(stage, "stays").await?;
    let mut pages = Pages::new(5);
    for number in 0.. {
        if !pages.turn(stage).await? {
            break;
        }
        // A scan may continue as long as new records appear, so their number is bounded.
        if number < 40 {
            stage.processing(&format!("comes {number}")).await?;
        }
    }
    pages.list_all(&stay)
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
    stage.released(Claim { ttl: SHORT, ..stage.claim("released")? }).await?;
    let live = stage.processing("live").await?;
    stage.outlive(SHORT + SHORT).await;
    let listed: Vec<_> = listed(stage, 10).await?.into_keys().collect();
    same("the keys listed", &listed, &vec![live.key])
}

async fn foreign_cursor_is_no_panic<H: Harness>(stage: &Stage<H>) -> Verdict {
    for text in ["", "-1", "no cursor", "18446744073709551616", "18446744073709551615", "{}:🦀"] {
        let cursor = Cursor(text.to_owned());
        // An error or a page, at the backend's choice.
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

async fn many<H: Harness>(stage: &Stage<H>, name: &str) -> Verdict<Vec<Claim>> {
    let mut claims = Vec::new();
    for number in 0..40 {
        claims.push(stage.processing(&format!("{name} {number}")).await?);
    }
    Ok(claims)
}

/// A scan page by page.
struct Pages {
    limit: usize,
    after: Option<Cursor>,
    seen: BTreeSet<RecordKey>,
    turned: usize,
}

impl Pages {
    fn new(limit: usize) -> Self {
        Self { limit, after: None, seen: BTreeSet::new(), turned: 0 }
    }

    /// Reads a page; returns whether there is another.
    async fn turn<H: Harness>(&mut self, stage: &Stage<H>) -> Verdict<bool> {
        let page = stage.storage().scan(self.after.as_ref(), self.limit).await?;
        self.seen.extend(page.records.into_iter().map(|(key, _)| key));
        self.after = page.next;
        self.turned += 1;
        ensure(self.turned < 100_000, || "the scan does not end".to_owned())?;
        Ok(self.after.is_some())
    }

    fn list_all(&self, claims: &[Claim]) -> Verdict {
        let missing = claims.iter().filter(|claim| !self.seen.contains(&claim.key)).count();
        same("the number of records that stayed and were not listed", &missing, &0)
    }
}
