//! Reading a record.

use super::super::check::{Complaint, Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, SHORT, Stage, completion, payload, releasing, result};
use super::cases;
use crate::record::{Failure, Fence, Finish, Finished, State, Status};
use crate::storage::{Claim, Complete};

const NONE: &str = "No record, or an expired one: `None`.";
const SOME: &str = "Otherwise the record, with deadlines on the storage's clock.";

cases! { "load";
    NONE => [no_record_is_none, expired_record_is_none],
    SOME => [
        processing_record_is_read_whole,
        finished_record_is_read_whole,
        released_record_is_read_whole,
    ],
}

async fn no_record_is_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    let never = stage.claim("never there")?;
    same("load", &stage.storage().load(&never.key).await?, &None)
}

async fn expired_record_is_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    let processing =
        stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..stage.claim("processing")? }).await?;
    let finished = stage.processing("finished").await?;
    let complete = Complete { ttl: SHORT, ..completion(&finished, &result("1")?) };
    stage.storage().complete(&complete).await?;
    let released = stage.released(Claim { ttl: SHORT, ..stage.claim("released")? }).await?;
    stage.outlive(SHORT + SHORT).await;
    for claim in [processing, finished, released] {
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
    }
    Ok(())
}

async fn processing_record_is_read_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let before = stage.harness.now().await;
    let claim = stage.processing("key").await?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    let State::Processing { lease_until, .. } = record.state else {
        return Err(Complaint::Violated(format!("the record is {:?}", record.status())));
    };
    stage.between(
        "lease_until",
        lease_until,
        (before.after(claim.lease), after.after(claim.lease)),
    )?;
    let kept = claim.lease + claim.ttl;
    stage.between("expires_at", record.expires_at, (before.after(kept), after.after(kept)))?;
    let (lease, ttl, on_crash) = (claim.lease, claim.ttl, claim.on_crash);
    let expected = State::Processing { lease, lease_until, ttl, on_crash, recovered: false };
    same("the state", &record.state, &expected)?;
    same("owner", &record.owner, &claim.owner)?;
    same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
    same("fence", &record.fence, &Fence::FIRST)
}

async fn finished_record_is_read_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let typed = Some(payload("msgpack", &[0xff, 0x00][..])?);
    let error = Failure::Error { message: "declined".into(), typed };
    for (name, finish) in [("completed", result("1")?), ("failed", Finish::Failed(error))] {
        let claim = stage.processing(name).await?;
        stage.elapse(SHORT).await;
        let before = stage.harness.now().await;
        let complete = completion(&claim, &finish);
        stage.storage().complete(&complete).await?;
        let after = stage.harness.now().await;
        let record = stage.record(&claim.key).await?;
        let State::Finished(Finished { at, finish: ref stored }) = record.state else {
            return Err(Complaint::Violated(format!("the record is {:?}", record.status())));
        };
        same("the finish", stored, &finish)?;
        stage.between("when it ended", at, (before, after))?;
        let expiry = (before.after(complete.ttl), after.after(complete.ttl));
        stage.between("expires_at", record.expires_at, expiry)?;
        same("owner", &record.owner, &claim.owner)?;
        same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
        same("fence", &record.fence, &Fence::FIRST)?;
    }
    Ok(())
}

async fn released_record_is_read_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, claim) = stage.taken_over("key").await?;
    let before = stage.harness.now().await;
    stage.storage().release(&releasing(&claim)).await?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    same("the status", &record.status(), &Status::Released)?;
    stage.between("expires_at", record.expires_at, (before.after(LONG), after.after(LONG)))?;
    same("owner", &record.owner, &claim.owner)?;
    same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
    same("fence", &record.fence, &Fence::new(2))
}
