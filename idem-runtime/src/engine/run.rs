//! One call, from its name to its outcome.
//!
//! Enter the list of calls (or attach to the one that is there) → claim → match the answer once: a replay decodes and returns; in
//! progress waits or is refused; acquired runs the body under the guard, encodes its result and settles.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use super::claim::{claim, mismatch};
use super::context;
use super::flight::{Flight, Phase, later};
use super::guard::Guard;
use super::outcome::{Outcome, Source};
use super::report::{Aftermath, BodyReport, Report};
use super::settle::{Settled, vanished};
use super::shared::Inner;
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::Event;
use crate::key::CallName;
use crate::policy::{ErrorPolicy, MapError, Policy, Storable};
use crate::record::{CrashPolicy, Failure, Finish, Finished};
use crate::runtime;
use crate::storage::{Claim, Claimed, Lost};

/// Everything about a call but its body.
pub(crate) struct Call {
    pub(crate) inner: Arc<Inner>,
    /// Its entry in the list of calls.
    pub(crate) flight: Arc<Flight>,
    pub(crate) ttl: Duration,
    pub(crate) wait: Option<Duration>,
    pub(crate) on_crash: CrashPolicy,
    pub(crate) codec: AnyCodec,
    pub(crate) max_result_size: usize,
    pub(crate) fail_open: bool,
}

/// Why a call has no result.
pub(crate) enum Failed<E> {
    /// The body's error.
    Body(E),
    /// The first call's error, which its body has returned before.
    Replayed(E),
    /// This crate's.
    Ours(Error),
}

impl<E> Failed<E> {
    /// In the body's own type.
    pub(super) fn into_error(self, map: &impl MapError<E>) -> E {
        match self {
            Self::Body(error) | Self::Replayed(error) => error,
            Self::Ours(error) => map.map(error),
        }
    }
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

pub(crate) async fn run<T, E, F>(
    call: &Call,
    policy: &impl Policy<T, E>,
    body: Pin<Box<F>>,
    report: &mut Report,
) -> Result<Outcome<T>, Failed<E>>
where
    T: Storable,
    F: Future<Output = Result<T, E>>,
{
    let CallName { record, fingerprint, .. } = &call.flight.name;
    if let Some(finished) = call.inner.storage.replay_here(record, fingerprint) {
        return call.replay(policy, finished);
    }
    let mut guard = Guard::new(&call.inner, &call.flight);
    match call.turn(&mut guard).await {
        Ok(Turn::Run) => {}
        Ok(Turn::Replay(finished)) => return call.replay(policy, finished),
        Err(error) if call.fail_open && error.kind() == ErrorKind::Storage => {
            // What may have been claimed is released before, not after the body.
            drop(guard);
            return call.run_unprotected(body, &error, report).await;
        }
        Err(error) => return Err(error.into()),
    }
    if call.inner.renewer.watch_over(call.flight.lease) {
        tokio::task::yield_now().await;
    }
    if call.flight.is_recovery() {
        call.inner.hooks.takeover(&call.event(None));
    }
    guard.running(call.on_crash, call.ttl);
    report.running(Aftermath::by(call.on_crash));
    let mut report = BodyReport(report);
    // The body is handed over, so that it is dropped before the guard: its destructors end before the key is released.
    let whole = async {
        let result = context::scope(Arc::clone(&call.flight), body).await;
        let recording = call.finish(policy, &result);
        (result, recording)
    };
    let (result, recording) = match AssertUnwindSafe(whole).catch_unwind().await {
        Ok(ended) => ended,
        Err(panic) => {
            report.panicked();
            guard.crash().await;
            resume_unwind(panic);
        }
    };
    report.ended();
    match call.settle(&mut guard, recording).await {
        Ended::Here(source) => match result {
            Ok(value) => Ok(Outcome { value, source }),
            Err(error) => Err(Failed::Body(error)),
        },
        Ended::Elsewhere(finished) => call.replay(policy, finished),
        Ended::Refused(error) => Err(error.into()),
    }
}

/// What this call is to do.
enum Turn {
    /// The key is its own: run the body.
    Run,
    /// The body has run before, here or elsewhere.
    Replay(Finished),
}

/// What is to be recorded of how a body ended.
pub(super) struct Recording {
    /// `None` releases the key.
    pub(super) finish: Option<Finish>,
    /// Why it is not the result.
    pub(super) unstorable: Option<Error>,
}

/// Whose result the caller gets after the body has run.
enum Ended {
    /// Its own.
    Here(Source),
    /// That of the owner that has taken over.
    Elsewhere(Finished),
    /// Nobody's.
    Refused(Error),
}

impl Call {
    /// Enters the list of calls and claims; a duplicate waits for the call that is there, as long as it may.
    async fn turn(&self, guard: &mut Guard<'_>) -> Result<Turn, Error> {
        if self.flight.is_reentrant() {
            let text = "the operation calls itself with the same key and would wait for itself";
            return Err(self.error(ErrorKind::Reentrant, text));
        }
        let time = runtime::check();
        self.inner
            .renewer
            .lives_in(time.map_err(|text| self.error(ErrorKind::Configuration, text))?);
        let deadline = self.wait.map(|wait| later(Instant::now(), wait));
        while let Some(there) = self.inner.flights.enter(&self.flight) {
            match follow(&there, deadline, self.inner.claim_timeout).await {
                Some(Followed::Finished(finished)) => return Ok(Turn::Replay(finished)),
                Some(Followed::Refused(error)) => return Err(error),
                Some(Followed::Busy { lease_until }) => {
                    let lease_left = lease_until.saturating_duration_since(Instant::now());
                    return Err(self.already_processing(lease_left));
                }
                Some(Followed::Silent) => {
                    self.inner.flights.enter_beside(&self.flight, &there);
                    break;
                }
                None => {}
            }
        }
        guard.entered();
        self.claim(guard, deadline).await
    }

    async fn claim(&self, guard: &mut Guard<'_>, deadline: Option<Instant>) -> Result<Turn, Error> {
        let request = Claim {
            key: self.flight.name.record.clone(),
            owner: self.flight.owner,
            fingerprint: self.flight.name.fingerprint,
            lease: self.flight.lease,
            ttl: self.ttl,
            on_crash: self.on_crash,
        };
        let error = match claim(guard, &request, deadline).await {
            Ok(Claimed::Acquired { .. }) => return Ok(Turn::Run),
            Ok(Claimed::Parked(finished)) => {
                self.inner.parked.add(&self.flight.name, &self.inner.hooks);
                guard.end(|| Phase::Finished(finished.clone()));
                return Ok(Turn::Replay(finished));
            }
            Ok(Claimed::Replay(finished)) => {
                guard.end(|| Phase::Finished(finished.clone()));
                return Ok(Turn::Replay(finished));
            }
            Ok(Claimed::InProgress { lease_left }) => {
                let lease_until = later(Instant::now(), lease_left);
                guard.end(|| Phase::Busy { lease_until });
                return Err(self.already_processing(lease_left));
            }
            Ok(Claimed::Mismatch) => mismatch(&self.inner, &self.flight.name).await,
            Err(error) => Error::from(error).of_call(&self.flight.name),
        };
        // The guard, dropped after this, releases what may have been claimed.
        self.flight.enter_phase(Phase::Refused(error.clone()));
        Err(error)
    }

    /// Records how the body ended.
    async fn settle(&self, guard: &mut Guard<'_>, recording: Recording) -> Ended {
        let Recording { finish, unstorable } = recording;
        let released = finish.is_none();
        let unrecorded = match guard.settle(finish, self.ttl).await {
            Settled::Done => unstorable,
            Settled::Lost(_) | Settled::Unrecorded(_) if released => None,
            Settled::Lost(Lost::Finished(finished)) => return Ended::Elsewhere(finished),
            Settled::Lost(Lost::TakenOver) => {
                let text = "the lease ran out and another owner is running the operation";
                return Ended::Refused(self.error(ErrorKind::LeaseLost, text));
            }
            Settled::Lost(Lost::Gone) => Some(vanished().of_call(&self.flight.name)),
            Settled::Unrecorded(error) => Some(Error::from(error).of_call(&self.flight.name)),
        };
        if let Some(error) = &unrecorded {
            let operation = &self.flight.name.operation;
            tracing::error!(%operation, %error, "the result of a call is not recorded");
            self.inner.hooks.unrecorded(&self.event(Some(error)));
        }
        Ended::Here(match unrecorded {
            None => Source::Executed { recovered: self.flight.is_recovery() },
            Some(_) => Source::Unrecorded,
        })
    }

    /// What is to be recorded of a result.
    pub(super) fn finish<T: Storable, E>(
        &self,
        policy: &impl Policy<T, E>,
        result: &Result<T, E>,
    ) -> Recording {
        match result {
            Ok(value) if policy.keeps(value) => match self.encode(value) {
                Ok(finish) => Recording { finish: Some(finish), unstorable: None },
                Err((failure, error)) => {
                    Recording { finish: Some(Finish::Failed(failure)), unstorable: Some(error) }
                }
            },
            Ok(_) => Recording { finish: None, unstorable: None },
            Err(error) => {
                let failure = policy.record(error, &self.codec);
                let failure = failure.map(|failure| bounded(failure, self.max_result_size));
                Recording { finish: failure.map(Finish::Failed), unstorable: None }
            }
        }
    }

    /// A result as it is stored. The first of each operation is read back, and in debug builds every one: a type whose `Serialize` and
    /// `Deserialize` disagree shows itself then, and not to the first duplicate.
    fn encode<T: Storable>(&self, value: &T) -> Result<Finish, (Failure, Error)> {
        let text = "the result cannot be stored";
        let unserializable = |why| {
            let error = self.error(ErrorKind::Serialization, text).with_source(why);
            (Failure::Unserializable, error)
        };
        let payload = self.codec.encode(value).map_err(unserializable)?;
        if payload.bytes.len() > self.max_result_size {
            let failure = Failure::TooLarge { size: payload.bytes.len() as u64 };
            return Err((failure, self.error(ErrorKind::TooLarge, text)));
        }
        let operation = &self.flight.name.operation;
        if cfg!(debug_assertions) || self.inner.read_back.is_due(operation) {
            let read: Result<T, _> = self.codec.decode(&payload);
            read.map_err(|why| unserializable(format!("it cannot be read back: {why}").into()))?;
            self.inner.read_back.succeeded(operation);
        }
        Ok(Finish::Completed(payload))
    }

    /// What a duplicate gets.
    pub(super) fn replay<T: Storable, E>(
        &self,
        policy: &impl ErrorPolicy<E>,
        finished: Finished,
    ) -> Result<Outcome<T>, Failed<E>> {
        if !finished.finish.is_parked() {
            self.inner.parked.resolved(&self.flight.name.record);
        }
        let failure = match finished.finish {
            Finish::Completed(payload) => {
                let value = self.codec.decode(&payload).map_err(|error| self.undecodable(error))?;
                self.inner.hooks.replay(&self.event(None));
                let source = Source::Replayed { completed_at: finished.at.into() };
                return Ok(Outcome { value, source });
            }
            Finish::Failed(failure) => failure,
        };
        self.inner.hooks.replay(&self.event(None));
        let (kind, text) = match failure {
            Failure::Error { message, typed } => {
                if let Some(revived) = typed.and_then(|typed| policy.revive(&typed, &self.codec)) {
                    let error = revived.map_err(|error| self.undecodable(error))?;
                    return Err(Failed::Replayed(error));
                }
                let text = "the first call with this key failed";
                let error = self.error(ErrorKind::PreviouslyFailed, text);
                return Err(error.with_failure(&message).into());
            }
            Failure::Indeterminate => (
                ErrorKind::Indeterminate,
                "the owner died half way and nobody knows how far it came",
            ),
            Failure::TooLarge { .. } => (
                ErrorKind::TooLarge,
                "the first call succeeded but its result was too large to store",
            ),
            Failure::Unserializable => (
                ErrorKind::Serialization,
                "the first call succeeded but its result could not be encoded",
            ),
        };
        Err(self.error(kind, text).into())
    }

    /// Runs the body although the storage is down, because the operation opted to fail open.
    async fn run_unprotected<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        body: Pin<Box<F>>,
        error: &Error,
        report: &mut Report,
    ) -> Result<Outcome<T>, Failed<E>> {
        let operation = &self.flight.name.operation;
        tracing::error!(%operation, %error, "the storage is down and the operation fails open");
        self.inner.hooks.unrecorded(&self.event(Some(error)));
        report.running(Aftermath::Unrecorded);
        let body = context::scope(Arc::clone(&self.flight), body);
        let result = AssertUnwindSafe(body).catch_unwind().await.unwrap_or_else(|panic| {
            report.panicked();
            resume_unwind(panic)
        });
        let value = result.map_err(Failed::Body)?;
        Ok(Outcome { value, source: Source::Unrecorded })
    }

    pub(super) fn event<'a>(&'a self, reason: Option<&'a Error>) -> Event<'a> {
        Event::new(&self.flight.name, reason)
    }

    pub(super) fn error(&self, kind: ErrorKind, text: &'static str) -> Error {
        Error::new(kind, text).of_call(&self.flight.name)
    }

    pub(super) fn already_processing(&self, lease_left: Duration) -> Error {
        self.error(ErrorKind::AlreadyProcessing, "another call with this key is running")
            .with_retry_after(lease_left)
    }

    fn undecodable(&self, error: crate::codec::CodecError) -> Error {
        self.error(
            ErrorKind::Serialization,
            "the stored result does not decode as the type asked for",
        )
        .with_source(error)
    }
}

/// A failure's text is for people: it is cut at 4 KiB, and a typed error over the size limit is left out.
fn bounded(failure: Failure, max_result_size: usize) -> Failure {
    const MAX_TEXT: usize = 4096;
    match failure {
        Failure::Error { mut message, typed } => {
            let fits = |(at, char): (usize, char)| at + char.len_utf8() <= MAX_TEXT;
            let cut = message.char_indices().take_while(|&next| fits(next)).count();
            if let Some((at, _)) = message.char_indices().nth(cut) {
                message.truncate(at);
            }
            let typed = typed.filter(|payload| payload.bytes.len() <= max_result_size);
            Failure::Error { message, typed }
        }
        other => other,
    }
}

/// What a duplicate gets of the call that is there.
enum Followed {
    Finished(Finished),
    Refused(Error),
    Busy {
        lease_until: Instant,
    },
    /// It is on a runtime that stands still, and so says nothing of what the storage may know by now.
    Silent,
}

/// Waits for the call that is there; `None` when the duplicate has to claim for itself. One that may not wait, or no longer, still
/// learns what the storage answers to the claim under way.
async fn follow(
    flight: &Flight,
    deadline: Option<Instant>,
    claim_timeout: Duration,
) -> Option<Followed> {
    // The other one's time may be up a moment later than ours.
    let patience = claim_timeout.saturating_mul(3) / 2;
    let answered_by = later(Instant::now(), patience);
    let mut deadline = deadline;
    loop {
        let heard_by = flight.heard_by(answered_by, patience);
        if heard_by <= Instant::now() {
            return Some(Followed::Silent);
        }
        let until = deadline.map_or(heard_by, |deadline| deadline.min(heard_by));
        let ended = flight.until(|phase| heard(phase, deadline.is_some()));
        if let Ok(followed) = timeout_at(until, ended).await {
            return followed;
        }
        deadline = deadline.filter(|deadline| *deadline > Instant::now());
    }
}

/// What a phase tells a duplicate, and nothing yet where that has to go on listening.
#[expect(clippy::option_option, reason = "the inner one is what `follow` answers")]
fn heard(phase: &Phase, may_wait: bool) -> Option<Option<Followed>> {
    match phase {
        Phase::Claiming => None,
        Phase::Finished(finished) => Some(Some(Followed::Finished(finished.clone()))),
        Phase::Refused(error) => Some(Some(Followed::Refused(error.clone()))),
        Phase::Abandoned | Phase::Lost => Some(None),
        Phase::Busy { .. } if may_wait => Some(None),
        Phase::Elsewhere { .. } | Phase::Running { .. } if may_wait => None,
        Phase::Busy { lease_until }
        | Phase::Elsewhere { lease_until }
        | Phase::Running { lease_until, .. } => {
            Some(Some(Followed::Busy { lease_until: *lease_until }))
        }
    }
}

#[cfg(all(test, feature = "json", feature = "testing"))]
mod tests;
