//! One call with a record of its own, from its name to its outcome.
//!
//! Enter the in-flight table, or follow the in-flight call of the same key → claim → match the
//! answer once: a replay decodes and returns; in progress waits or fails; acquired runs the body
//! under the guard, encodes its result and settles.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;

use super::call::{Call, CallError, Recording};
use super::claim::claim;
use super::context;
use super::flight::{Phase, later};
use super::follow::{Followed, follow};
use super::guard::Guard;
use super::outcome::{Outcome, Source};
use super::report::{Aftermath, BodyReport, CallReport};
use super::settle::{SettlementResult, record_missing};
use crate::error::{Error, ErrorKind};
use crate::hooks::AbandonReason;
use crate::key::CallName;
use crate::policy::{Policy, Storable};
use crate::record::Finished;
use crate::runtime;
use crate::storage::{Claimed, Lost};
use crate::sync::time::Instant;
use crate::sync::yield_now;

/// Runs a call: its claim, its body and the write of its outcome.
pub(crate) async fn run<T, E, F>(
    call: &Call,
    policy: &impl Policy<T, E>,
    body: Pin<Box<F>>,
    report: &mut CallReport,
) -> Result<Outcome<T>, CallError<E>>
where
    T: Storable,
    F: Future<Output = Result<T, E>>,
{
    let CallName { record, fingerprint, .. } = &call.flight.name;
    if let Some(finished) = call.inner.storage.replay_here(record, fingerprint) {
        return call.replay(policy, finished);
    }
    let mut guard = Guard::new(&call.inner, &call.flight);
    match call.role(&mut guard).await {
        Ok(Role::Owner) => {}
        Ok(Role::Duplicate(finished)) => return call.replay(policy, finished),
        Err(error) if call.fail_open && error.kind() == ErrorKind::Storage => {
            // A claim that may have been applied is released before the body, not after it.
            drop(guard);
            return call.run_unprotected(body, &error, report).await;
        }
        Err(error) => return Err(error.into()),
    }
    if call.inner.renewer.watch_over(call.flight.lease) {
        yield_now().await;
    }
    if call.flight.is_recovery() {
        call.inner.hooks.takeover(&call.event(None));
    }
    guard.running(call.on_crash, call.ttl);
    report.running(Aftermath::by(call.on_crash));
    let report = BodyReport(report);
    // The block owns the body, so the body is dropped before the guard releases the key.
    let whole = async {
        let result = context::scope(Arc::clone(&call.flight), body).await;
        let recording = call.recording(policy, &result);
        (result, recording)
    };
    let (result, recording) = match AssertUnwindSafe(whole).catch_unwind().await {
        Ok(ended) => ended,
        Err(panic) => {
            report.0.abandoned(AbandonReason::Panicked);
            guard.crash().await;
            resume_unwind(panic);
        }
    };
    report.ended();
    match call.settle(&mut guard, recording).await? {
        ResultOf::ThisRun(source) => match result {
            Ok(value) => Ok(Outcome { value, source }),
            Err(error) => Err(CallError::Body(error)),
        },
        ResultOf::NewOwner(finished) => call.replay(policy, finished),
    }
}

/// What a call is for its key.
enum Role {
    /// It runs the body.
    Owner,
    /// It replays the outcome of an earlier run, in this process or another.
    Duplicate(Finished),
}

/// Whose result the caller gets after the body has run.
enum ResultOf {
    ThisRun(Source),
    /// The outcome of the owner that took over.
    NewOwner(Finished),
}

impl Call {
    /// Enters the in-flight table and claims, or follows the in-flight call of the same key.
    async fn role(&self, guard: &mut Guard<'_>) -> Result<Role, Error> {
        self.check_reentrancy()?;
        let time = runtime::check();
        let time = time.map_err(|text| self.error(ErrorKind::Configuration, text))?;
        self.inner.renewer.lives_in(time);
        let deadline = self.wait.map(|wait| later(Instant::now(), wait));
        while let Some(in_flight) = self.inner.flights.enter(&self.flight) {
            match follow(&in_flight, deadline, self.inner.claim_timeout).await {
                Followed::Replay(finished) => return Ok(Role::Duplicate(finished)),
                Followed::Fail(error) => return Err(error),
                Followed::GiveUp { lease_until } => {
                    let lease_left = lease_until.saturating_duration_since(Instant::now());
                    return Err(self.already_processing(lease_left));
                }
                Followed::ClaimBeside => {
                    self.inner.flights.enter_beside(&self.flight, &in_flight);
                    break;
                }
                Followed::Claim => {}
            }
        }
        guard.entered();
        self.claim(guard, deadline).await
    }

    async fn claim(&self, guard: &mut Guard<'_>, deadline: Option<Instant>) -> Result<Role, Error> {
        let error = match claim(guard, &self.claim_request(), deadline).await {
            Ok(Claimed::Acquired { .. }) => return Ok(Role::Owner),
            Ok(Claimed::Replay(finished) | Claimed::Parked(finished)) => {
                guard.end(|| Phase::Finished(finished.clone()));
                return Ok(Role::Duplicate(finished));
            }
            Ok(Claimed::InProgress { lease_left }) => {
                let lease_until = later(Instant::now(), lease_left);
                guard.end(|| Phase::Busy { lease_until });
                return Err(self.already_processing(lease_left));
            }
            Ok(Claimed::Mismatch) => self.mismatch().await,
            Err(error) => Error::from(error).of_call(&self.flight.name),
        };
        // The guard is dropped after this and releases a claim that may have been applied.
        self.flight.enter_phase(Phase::Refused(error.clone()));
        Err(error)
    }

    /// Records the outcome of the body.
    async fn settle(&self, guard: &mut Guard<'_>, recording: Recording) -> Result<ResultOf, Error> {
        let Recording { finish, unstorable } = recording;
        let released = finish.is_none();
        let unrecorded = match guard.settle(finish, self.ttl).await {
            SettlementResult::Done => unstorable,
            SettlementResult::Lost(_) | SettlementResult::Unrecorded(_) if released => None,
            SettlementResult::Lost(Lost::Finished(finished)) => {
                return Ok(ResultOf::NewOwner(finished));
            }
            SettlementResult::Lost(Lost::TakenOver) => {
                let text = "the lease ran out and another owner is running the operation";
                return Err(self.error(ErrorKind::LeaseLost, text));
            }
            SettlementResult::Lost(Lost::Gone) => Some(record_missing().of_call(&self.flight.name)),
            SettlementResult::Unrecorded(error) => {
                Some(Error::from(error).of_call(&self.flight.name))
            }
        };
        Ok(ResultOf::ThisRun(self.source(unrecorded.as_ref())))
    }

    /// Runs the body although the storage is down, because the operation opted to fail open.
    async fn run_unprotected<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        body: Pin<Box<F>>,
        error: &Error,
        report: &mut CallReport,
    ) -> Result<Outcome<T>, CallError<E>> {
        let operation = &self.flight.name.operation;
        tracing::error!(%operation, %error, "the storage is down and the operation fails open");
        self.inner.hooks.unrecorded(&self.event(Some(error)));
        report.running(Aftermath::Unrecorded);
        let value = report.watch(body).await.map_err(CallError::Body)?;
        Ok(Outcome { value, source: Source::Unrecorded })
    }
}

#[cfg(all(test, feature = "json", feature = "testing"))]
mod tests;
