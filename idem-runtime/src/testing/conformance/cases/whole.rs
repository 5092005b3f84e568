//! Fingerprints, owners and finishes with small differences.

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{
    Stage, completion, indeterminate, lost_to, payload, releasing, renewal, result,
};
use super::cases;
use crate::fingerprint::Fingerprint;
use crate::record::{CrashPolicy, Failure, Finish, OwnerId};
use crate::storage::{Claim, Claimed, Lost, Written};

const WHOLE: &str = "Fingerprints, owners and finishes are compared whole.";

cases! { "whole";
    WHOLE => [
        fingerprints_are_compared_whole,
        owners_are_compared_whole,
        owners_of_ends_are_compared_whole,
        finishes_are_compared_whole,
    ],
}

/// All fingerprints that differ from one in the lowest, or the highest, bit of one byte.
fn near_fingerprints(fingerprint: &Fingerprint) -> Verdict<Vec<Fingerprint>> {
    let mut near = Vec::new();
    // The first byte is the algorithm's.
    for byte in 1..Fingerprint::LEN {
        let mut bytes = *fingerprint.as_bytes();
        bytes[byte] ^= if byte % 2 == 0 { 1 } else { 0x80 };
        let fingerprint = Fingerprint::from_bytes(&bytes);
        near.push(fingerprint.map_err(|error| Complaint::Violated(error.to_string()))?);
    }
    Ok(near)
}

/// All owners that differ from one in the lowest, the highest, or both bits of one byte.
fn near_owners(claim: &Claim) -> Vec<Claim> {
    let differing = |byte: usize, bit: u8| {
        let mut bytes = claim.owner.to_bytes();
        bytes[byte] ^= bit;
        Claim { owner: OwnerId::from_bytes(bytes), ..claim.clone() }
    };
    (0..16).flat_map(|byte| [differing(byte, 1), differing(byte, 0x80)]).collect()
}

async fn fingerprints_are_compared_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claims = [
        stage.processing("processing").await?,
        stage.crashed("dead", CrashPolicy::Retry).await?,
        stage.finished("finished", &result("1")?).await?,
        stage.released(stage.claim("released")?).await?,
    ];
    for claim in claims {
        let before = stage.record(&claim.key).await?;
        for fingerprint in near_fingerprints(&claim.fingerprint)? {
            let near = Claim { fingerprint, owner: OwnerId::random(), ..claim.clone() };
            let answer = stage.storage().claim(&near).await?;
            same("a claim whose fingerprint differs in a bit", &answer, &Claimed::Mismatch)?;
        }
        let after = stage.storage().load(&claim.key).await?;
        stage.same_record(&claim.key, Some(&before), after.as_ref())?;
    }
    Ok(())
}

async fn owners_are_compared_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let near = near_owners(&claim);
    let renewals: Vec<_> = near.iter().map(renewal).collect();
    let lost = Written::LeaseLost(Lost::TakenOver);
    for renewed in stage.storage().renew(&renewals).await {
        same("a renew by an owner that differs in a bit", &renewed?, &lost)?;
    }
    for near in near {
        let answer = stage.storage().claim(&near).await?;
        ensure(matches!(answer, Claimed::InProgress { .. }), || {
            format!(
                "a claim of {:?} by an owner that differs in a bit is answered {answer:?}",
                near.key
            )
        })?;
        let answer = stage.storage().complete(&completion(&near, &result("1")?)).await?;
        same("a complete by an owner that differs in a bit", &answer, &lost)?;
        let answer = stage.storage().release(&releasing(&near)).await?;
        same("a release by an owner that differs in a bit", &answer, &lost)?;
    }
    same("the owner", &stage.record(&claim.key).await?.owner, &claim.owner)
}

/// An owner that differs in a bit can neither complete a finished record, nor resolve a parked one,
/// nor release a released one.
async fn owners_of_ends_are_compared_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let finished = stage.finished("finished", &result("1")?).await?;
    let lost = lost_to(&result("1")?, &stage.record(&finished.key).await?)?;
    for near in near_owners(&finished) {
        let answer = stage.storage().complete(&completion(&near, &result("1")?)).await?;
        same("the same complete by an owner that differs in a bit", &answer, &lost)?;
    }
    let parked = stage.parked("parked").await?;
    let lost = lost_to(&indeterminate(), &stage.record(&parked.key).await?)?;
    for near in near_owners(&parked) {
        let answer = stage.storage().complete(&completion(&near, &result("1")?)).await?;
        same("a late complete by an owner that differs in a bit", &answer, &lost)?;
    }
    let released = stage.released(stage.claim("released")?).await?;
    for near in near_owners(&released) {
        let answer = stage.storage().release(&releasing(&near)).await?;
        let gone = Written::LeaseLost(Lost::Gone);
        same("a second release by an owner that differs in a bit", &answer, &gone)?;
    }
    Ok(())
}

async fn finishes_are_compared_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let completed = |codec: &str, bytes: Vec<u8>| -> Verdict<Finish> {
        Ok(Finish::Completed(payload(codec, bytes)?))
    };
    let failed = |message: &str, typed| {
        Finish::Failed(Failure::Error { message: message.to_owned(), typed })
    };
    let long = vec![7; 5000];
    let mut changed = long.clone();
    changed[4999] = 8;
    let typed = |bytes: &'static str| payload("json", bytes).map(Some);
    let pairs = [
        ("last byte", completed("raw", long.clone())?, completed("raw", changed)?),
        ("codec", completed("raw", long.clone())?, completed("rax", long.clone())?),
        ("length", completed("raw", long.clone())?, completed("raw", long[..4999].to_vec())?),
        ("nothing", completed("raw", vec![])?, completed("raw", vec![0])?),
        ("success", failed("1", None), completed("raw", b"1".to_vec())?),
        ("message", failed("declined", None), failed("declined ", None)),
        ("typed", failed("declined", typed("1")?), failed("declined", typed("2")?)),
        ("no longer typed", failed("declined", typed("1")?), failed("declined", None)),
        ("now typed", failed("declined", None), failed("declined", typed("")?)),
        (
            "size",
            Finish::Failed(Failure::TooLarge { size: 1 << 40 }),
            Finish::Failed(Failure::TooLarge { size: (1 << 40) + 1 }),
        ),
        (
            "kind",
            Finish::Failed(Failure::Unserializable),
            Finish::Failed(Failure::TooLarge { size: 0 }),
        ),
        ("indeterminate", failed("no", None), indeterminate()),
    ];
    for (name, first, second) in pairs {
        let claim = stage.finished(name, &first).await?;
        let lost = lost_to(&first, &stage.record(&claim.key).await?)?;
        let complete = completion(&claim, &second);
        same("a complete with another finish", &stage.storage().complete(&complete).await?, &lost)?;
        let again = stage.storage().complete(&completion(&claim, &first)).await?;
        same("the same complete again", &again, &Written::Done)?;
    }
    Ok(())
}
