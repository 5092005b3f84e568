//! The environment of a case: a harness, keys of its own, and the requests of the first owner and
//! of its rivals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::check::{self, Complaint, Verdict, same};
use super::harness::{Harm, Harness, Inflicted, Opened};
use super::trail::{Traced, Trail};
use crate::fingerprint::Fingerprint;
use crate::key::{Key, RecordKey};
use crate::record::{
    CodecTag, CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State,
    Timestamp, millis,
};
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Lost, Release, Renew, StorageError, Written,
};

/// Longer than any case takes.
pub(in crate::testing::conformance) const LONG: Duration = Duration::from_secs(600);
/// Short enough for a case to wait for it.
pub(in crate::testing::conformance) const SHORT: Duration = Duration::from_millis(250);
/// Allowed lag of a server behind the suite's sleeps.
const MARGIN: Duration = Duration::from_millis(150);
/// Allowed difference between two readings of one deadline, for a storage that computes deadlines
/// from the remaining time.
const READING: Duration = Duration::from_millis(100);
/// Longer than [`READING`]: a deadline that moved by this much has really moved.
const TICK: Duration = Duration::from_millis(300);

/// The environment of one case.
pub(in crate::testing::conformance) struct Stage<H> {
    pub(in crate::testing::conformance) harness: Arc<H>,
    namespace: String,
    /// Milliseconds elapsed by [`elapse`](Self::elapse).
    elapsed: Arc<AtomicU64>,
    trail: Trail,
}

impl<H> Clone for Stage<H> {
    fn clone(&self) -> Self {
        let (harness, elapsed) = (self.harness.clone(), self.elapsed.clone());
        Self { harness, namespace: self.namespace.clone(), elapsed, trail: self.trail.clone() }
    }
}

impl<H: Harness> Stage<H> {
    pub(in crate::testing::conformance) fn new(harness: H) -> Self {
        let mut random = OwnerId::random().to_string();
        random.truncate(12);
        let namespace = format!("conformance-{random}");
        let (elapsed, trail) = (Arc::default(), Trail::default());
        Self { harness: Arc::new(harness), namespace, elapsed, trail }
    }

    pub(in crate::testing::conformance) fn storage(&self) -> Traced<'_, H::Storage> {
        Traced::new(self.harness.storage(), &self.trail, "")
    }

    /// Another handle on the same data; give it to [`on`](Self::on).
    pub(in crate::testing::conformance) async fn second(&self) -> Verdict<Arc<H::Storage>> {
        match self.harness.second().await {
            Opened::Done(storage) => Ok(Arc::new(storage)),
            Opened::Unsupported(why) => Err(Complaint::Unsupported(why)),
        }
    }

    /// Another handle, with the trail of this case.
    pub(in crate::testing::conformance) fn on<'s>(
        &'s self,
        second: &'s H::Storage,
    ) -> Traced<'s, H::Storage> {
        Traced::new(second, &self.trail, "on the second handle, ")
    }

    /// The same case after a crash of the storage's process, on the reopened data.
    pub(in crate::testing::conformance) async fn reopened(self) -> Verdict<Self> {
        let Self { harness, namespace, elapsed, trail } = self;
        let harness = Arc::try_unwrap(harness)
            .map_err(|_| Complaint::Violated("a call of the suite is still running".into()))?;
        trail.note("the storage is reopened".into());
        match harness.reopen().await {
            Opened::Done(harness) => {
                Ok(Self { harness: Arc::new(harness), namespace, elapsed, trail })
            }
            Opened::Unsupported(why) => Err(Complaint::Unsupported(why)),
        }
    }

    /// The calls before a failure.
    pub(in crate::testing::conformance) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Allowed error of a deadline.
    pub(in crate::testing::conformance) fn tolerance(&self) -> Duration {
        if self.harness.clock_is_exact() { Duration::ZERO } else { READING }
    }

    /// Checks that a time lies between two others, within the storage's tolerance.
    pub(in crate::testing::conformance) fn between(
        &self,
        what: &str,
        actual: Timestamp,
        range: (Timestamp, Timestamp),
    ) -> Verdict {
        check::between(what, actual, range, self.tolerance())
    }

    /// Checks that two readings are of one unchanged record.
    pub(in crate::testing::conformance) fn same_record(
        &self,
        key: &RecordKey,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Verdict {
        check::unchanged(key, before, after, self.tolerance())
    }

    pub(in crate::testing::conformance) fn key(&self, name: &str) -> Verdict<RecordKey> {
        Ok(RecordKey::new(&self.namespace, None, &Key::new(name)?)?)
    }

    /// The claim of a key's first owner; its lease and ttl outlast the case.
    pub(in crate::testing::conformance) fn claim(&self, name: &str) -> Verdict<Claim> {
        Ok(Claim {
            key: self.key(name)?,
            owner: OwnerId::random(),
            fingerprint: Fingerprint::of("conformance", "arguments")?,
            lease: LONG,
            ttl: LONG,
            on_crash: CrashPolicy::Retry,
        })
    }

    pub(in crate::testing::conformance) async fn elapse(&self, duration: Duration) {
        self.elapsed.fetch_add(millis(duration), Ordering::Relaxed);
        self.harness.elapse(duration).await;
    }

    /// Waits until `duration` has certainly passed.
    pub(in crate::testing::conformance) async fn outlive(&self, duration: Duration) {
        let margin = if self.harness.clock_is_exact() { Duration::ZERO } else { MARGIN };
        self.elapse(duration + margin).await;
    }

    /// Runs `case` with a key's name and a duration; `case` returns to the key before the duration
    /// is over.
    ///
    /// A failure that may come from a slow storage proves nothing: `case` runs again with a longer
    /// duration.
    pub(in crate::testing::conformance) async fn given_time<F>(
        &self,
        mut lasts: Duration,
        run: impl Fn(String, Duration) -> F,
    ) -> Verdict
    where
        F: Future<Output = Verdict>,
    {
        loop {
            let (before, slept) = (self.harness.now().await, self.elapsed.load(Ordering::Relaxed));
            let verdict = run(format!("lasts {lasts:?}"), lasts).await;
            let slept = self.elapsed.load(Ordering::Relaxed) - slept;
            let slow = before.after(Duration::from_millis(slept)).after(lasts / 4);
            if verdict.is_ok() || self.harness.now().await < slow {
                return verdict;
            }
            lasts *= 4;
        }
    }

    /// A key with a running owner.
    pub(in crate::testing::conformance) async fn acquire(&self, claim: Claim) -> Verdict<Claim> {
        let answer = self.storage().claim(&claim).await?;
        same(
            "the claim of a new key",
            &answer,
            &Claimed::Acquired { fence: Fence::FIRST, recovered: false },
        )?;
        Ok(claim)
    }

    /// A released key, now with a running owner with this fence.
    pub(in crate::testing::conformance) async fn acquire_released(
        &self,
        claim: Claim,
        fence: u64,
    ) -> Verdict<Claim> {
        let answer = self.storage().claim(&claim).await?;
        let acquired = Claimed::Acquired { fence: Fence::new(fence), recovered: false };
        same("the claim of a released key", &answer, &acquired)?;
        Ok(claim)
    }

    /// A key with a running owner.
    pub(in crate::testing::conformance) async fn processing(&self, name: &str) -> Verdict<Claim> {
        self.acquire(self.claim(name)?).await
    }

    /// A key whose owner's lease has expired.
    pub(in crate::testing::conformance) async fn crashed(
        &self,
        name: &str,
        on_crash: CrashPolicy,
    ) -> Verdict<Claim> {
        let claim = self.acquire(Claim { lease: SHORT, on_crash, ..self.claim(name)? }).await?;
        self.outlive(SHORT).await;
        Ok(claim)
    }

    /// A key whose owner has finished.
    pub(in crate::testing::conformance) async fn finished(
        &self,
        name: &str,
        finish: &Finish,
    ) -> Verdict<Claim> {
        let claim = self.processing(name).await?;
        let answer = self.storage().complete(&completion(&claim, finish)).await?;
        same("the owner's complete", &answer, &Written::Done)?;
        Ok(claim)
    }

    /// A key whose owner has released it.
    pub(in crate::testing::conformance) async fn released(&self, claim: Claim) -> Verdict<Claim> {
        let claim = self.acquire(claim).await?;
        let answer = self.storage().release(&releasing(&claim)).await?;
        same("the owner's release", &answer, &Written::Done)?;
        Ok(claim)
    }

    /// A key whose owner died under `Park`, parked by a rival's claim.
    pub(in crate::testing::conformance) async fn parked(&self, name: &str) -> Verdict<Claim> {
        let claim = self.crashed(name, CrashPolicy::Park).await?;
        parks(self.storage().claim(&rival(&claim)).await?)?;
        Ok(claim)
    }

    /// A key that a rival took over; returns both claims, the dead owner's first.
    pub(in crate::testing::conformance) async fn taken_over(
        &self,
        name: &str,
    ) -> Verdict<(Claim, Claim)> {
        let dead = self.crashed(name, CrashPolicy::Retry).await?;
        let taker = Claim { lease: LONG, ..rival(&dead) };
        let answer = self.storage().claim(&taker).await?;
        same(
            "the takeover",
            &answer,
            &Claimed::Acquired { fence: Fence::FIRST.next(), recovered: true },
        )?;
        Ok((dead, taker))
    }

    /// The record, which must exist.
    pub(in crate::testing::conformance) async fn record(&self, key: &RecordKey) -> Verdict<Record> {
        let record = self.storage().load(key).await?;
        record.ok_or_else(|| Complaint::Violated(format!("load found no record of {key:?}")))
    }

    /// Makes a call that must not change the record, some time after the last write.
    pub(in crate::testing::conformance) async fn unchanged<T, E: Into<Complaint>>(
        &self,
        key: &RecordKey,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Verdict<T> {
        let before = self.storage().load(key).await?;
        self.elapse(TICK).await;
        let answer = call.await.map_err(Into::into)?;
        let after = self.storage().load(key).await?;
        self.same_record(key, before.as_ref(), after.as_ref())?;
        Ok(answer)
    }

    /// Renews one lease.
    pub(in crate::testing::conformance) async fn renew(&self, claim: &Claim) -> Verdict<Written> {
        let mut answers = self.storage().renew(&[renewal(claim)]).await;
        same("the number of answers", &answers.len(), &1)?;
        let none = || Complaint::Violated("renew gives no answer".into());
        Ok(answers.pop().ok_or_else(none)??)
    }

    /// This case's records in a full scan.
    pub(in crate::testing::conformance) async fn listed(
        &self,
        limit: usize,
    ) -> Verdict<Vec<(RecordKey, Result<Record, StorageError>)>> {
        let mut listed = Vec::new();
        let mut after: Option<Cursor> = None;
        // More pages than any test server has: an endless scan is a failure, not a hang.
        for _ in 0..100_000 {
            let page = self.storage().scan(after.as_ref(), limit).await?;
            let ours = |key: &RecordKey| key.as_str().contains(&self.namespace);
            listed.extend(page.records.into_iter().filter(|(key, _)| ours(key)));
            after = page.next;
            if after.is_none() {
                return Ok(listed);
            }
        }
        Err(Complaint::Violated("the scan does not end".into()))
    }

    pub(in crate::testing::conformance) async fn inflict(&self, harm: Harm<'_>) -> Verdict {
        self.trail.note(format!("harm: {harm:?}"));
        match self.harness.inflict(harm).await {
            Inflicted::Done => Ok(()),
            Inflicted::Unsupported(why) => Err(Complaint::Unsupported(why)),
        }
    }

    /// Makes all calls concurrently, each in a task of its own; the answers are in no particular
    /// order.
    pub(in crate::testing::conformance) async fn at_once<T, F>(
        &self,
        calls: impl IntoIterator<Item = impl FnOnce(Self) -> F>,
    ) -> Verdict<Vec<T>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let calls: Vec<_> = calls.into_iter().map(|call| call(self.clone())).collect();
        let gate = Arc::new(Barrier::new(calls.len()));
        let mut tasks = JoinSet::new();
        for call in calls {
            let gate = gate.clone();
            tasks.spawn(async move {
                gate.wait().await;
                call.await
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = tasks.join_next().await {
            answers.push(answer.map_err(|_| Complaint::Violated("a call panicked".into()))?);
        }
        Ok(answers)
    }
}

/// The same claim by another owner.
pub(in crate::testing::conformance) fn rival(claim: &Claim) -> Claim {
    Claim { owner: OwnerId::random(), ..claim.clone() }
}

/// A claim by another owner for another operation.
pub(in crate::testing::conformance) fn stranger(claim: &Claim) -> Verdict<Claim> {
    let fingerprint = Fingerprint::of("conformance", "other arguments")?;
    Ok(Claim { fingerprint, ..rival(claim) })
}

pub(in crate::testing::conformance) fn completion(claim: &Claim, finish: &Finish) -> Complete {
    Complete { key: claim.key.clone(), owner: claim.owner, finish: finish.clone(), ttl: LONG }
}

pub(in crate::testing::conformance) fn renewal(claim: &Claim) -> Renew {
    Renew { key: claim.key.clone(), owner: claim.owner }
}

pub(in crate::testing::conformance) fn releasing(claim: &Claim) -> Release {
    Release { key: claim.key.clone(), owner: claim.owner }
}

/// The answer to an owner that lost its lease to a finished record.
pub(in crate::testing::conformance) fn lost_to(
    finish: &Finish,
    record: &Record,
) -> Verdict<Written> {
    let State::Finished(finished) = &record.state else {
        return Err(Complaint::Violated(format!("the record is {:?}", record.status())));
    };
    same("the stored finish", &finished.finish, finish)?;
    Ok(Written::LeaseLost(Lost::Finished(finished.clone())))
}

pub(in crate::testing::conformance) fn payload(
    codec: &str,
    bytes: impl Into<Bytes>,
) -> Verdict<Payload> {
    let codec = CodecTag::new(codec)
        .ok_or_else(|| Complaint::Violated("the suite's codec tag is invalid".into()))?;
    Ok(Payload { codec, bytes: bytes.into() })
}

pub(in crate::testing::conformance) fn result(text: &'static str) -> Verdict<Finish> {
    Ok(Finish::Completed(payload("json", text)?))
}

pub(in crate::testing::conformance) fn failure(message: &str) -> Finish {
    Finish::Failed(Failure::Error { message: message.into(), typed: None })
}

pub(in crate::testing::conformance) fn indeterminate() -> Finish {
    Finish::Failed(Failure::Indeterminate)
}

/// The outcome of a claim that must park.
pub(in crate::testing::conformance) fn parks(answer: Claimed) -> Verdict<Finished> {
    match answer {
        Claimed::Parked(finished) => {
            same("what was parked", &finished.finish, &indeterminate())?;
            Ok(finished)
        }
        other => Err(Complaint::Violated(format!("the claim answers {other:?} and did not park"))),
    }
}

/// The outcome of a claim that must replay.
pub(in crate::testing::conformance) fn replayed(answer: Claimed) -> Verdict<Finished> {
    match answer {
        Claimed::Replay(finished) => Ok(finished),
        other => Err(Complaint::Violated(format!("the claim answers {other:?}, not a replay"))),
    }
}
