//! Persisting the outcome of a call: retried, in the background if necessary, and not lost with the
//! caller's future.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::flight::{Flight, Phase};
use super::shared::SharedHandle;
use crate::clock::{Clock, MonotonicClock};
use crate::driver;
use crate::error::{Error, ErrorKind};
use crate::hooks::CallEvent;
use crate::record::Finished;
use crate::storage::{Complete, Lost, Release, Storage, StorageError, StorageErrorKind, Written};
use crate::sync::runtime::Handle;
use crate::sync::time::{Instant, sleep, timeout};

/// The write that ends a call.
#[derive(Clone, Debug)]
pub(crate) enum Settlement {
    /// Records the outcome.
    Complete(Complete),
    /// Records nothing: the next call runs the body.
    Release(Release),
}

/// Whether the caller still has to get the result that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The caller was dropped before it got its result: duplicates wait for the write, and the
    /// lease is renewed for it.
    Undelivered,
    /// There is no result to deliver.
    Nothing,
}

/// The answer to a [`Settlement`].
#[derive(Debug)]
pub(crate) enum SettlementResult {
    /// It is written.
    Done,
    /// The record is no longer this call's.
    Lost(Lost),
    /// The storage failed; the write continues in the background while the lease lasts.
    Unrecorded(StorageError),
}

/// The pauses between attempts: about a second in all, for a reconnect or a short fail-over.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_factor(2.5)
        .with_max_delay(Duration::from_millis(400))
        .with_max_times(6)
        .with_jitter()
        .build()
}

/// How long a caller whose body has run waits for a storage that does not answer. Then it gets its
/// value, and the write continues without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the release of an unanswered claim is retried: the lease has the same effect later.
const BRIEF: Duration = Duration::from_secs(15);

/// How long a write may take on the connections of a runtime that may never be driven again. Then
/// it is repeated on the library's own, which is safe for the same owner.
const BEGUN_ELSEWHERE: Duration = Duration::from_millis(250);

/// Writes `settlement` and ends the call for its followers.
pub(crate) async fn settle(
    inner: &Arc<SharedHandle>,
    flight: &Arc<Flight>,
    settlement: &Settlement,
) -> SettlementResult {
    let written = timeout(PATIENCE, write_retrying(inner, settlement, pauses())).await;
    let unanswered = |_| {
        let text = format!("the storage did not answer within {PATIENCE:?}");
        Err(StorageError::new(StorageErrorKind::Indeterminate, text))
    };
    match written.unwrap_or_else(unanswered) {
        Ok(written) => end(inner, flight, settlement, written),
        Err(error) if is_retryable(&error) => {
            // Duplicates in this process get the outcome from here during the background write;
            // after a release they claim.
            let deadline = flight.lease_end().unwrap_or_else(Instant::now);
            flight.end(local_phase(settlement));
            in_background(inner, flight, settlement.clone(), deadline, Delivery::Nothing);
            SettlementResult::Unrecorded(error)
        }
        Err(error) => {
            inner.flights.leave(flight, || local_phase(settlement));
            flight.lose();
            SettlementResult::Unrecorded(error)
        }
    }
}

/// Writes `settlement` without a caller: its future was dropped, or the storage was down. The write
/// runs on the library's own thread for as long as the process lives, since the caller's runtime
/// may be shutting down or never be driven again.
pub(crate) fn in_background(
    inner: &Arc<SharedHandle>,
    flight: &Arc<Flight>,
    settlement: Settlement,
    deadline: Instant,
    delivery: Delivery,
) {
    let end = local_phase(&settlement);
    let mut writing = Writing {
        inner: Arc::clone(inner),
        flight: Arc::clone(flight),
        settlement,
        delivery,
        unrecorded: Some(Error::new(
            ErrorKind::Storage,
            "no runtime is left to record the outcome",
        )),
    };
    let mut write = Box::pin(async move { writing.write(deadline).await });
    let Some(runtime) = inner.renewer.driver().cloned().or_else(|| Handle::try_current().ok())
    else {
        return;
    };
    // A storage in this process answers at once, even while the runtime is being shut down.
    if !driver::begin_on(&runtime, &mut write) {
        if delivery == Delivery::Nothing {
            // After the write was begun, so that a duplicate's claim comes behind it.
            flight.end(end);
        }
        runtime.spawn(write);
    }
}

/// A write without a caller. It is dropped after the write, after giving up, or with its runtime.
/// The call is over then; if nothing was written, its lease expires.
struct Writing {
    inner: Arc<SharedHandle>,
    flight: Arc<Flight>,
    settlement: Settlement,
    delivery: Delivery,
    /// Why nothing is written.
    unrecorded: Option<Error>,
}

impl Writing {
    async fn write(&mut self, deadline: Instant) {
        let more = std::iter::repeat(Duration::from_millis(400));
        let pauses = pauses().chain(more.take_while(|_| Instant::now() < deadline));
        // If the storage never answers, duplicates in this process must not wait longer than those
        // elsewhere.
        let patience = self.flight.lease.max(Duration::from_secs(1));
        let patience = if deadline <= Instant::now() { patience.min(BRIEF) } else { patience };
        let write = async {
            let begun = write_once(&self.inner, &self.settlement);
            match timeout(BEGUN_ELSEWHERE, begun).await {
                Ok(Ok(written)) => Ok(written),
                Ok(Err(error)) if !is_retryable(&error) => Err(error),
                Ok(Err(_)) | Err(_) => write_retrying(&self.inner, &self.settlement, pauses).await,
            }
        };
        self.unrecorded = match timeout(patience, write).await {
            Ok(Ok(written)) => match end(&self.inner, &self.flight, &self.settlement, written) {
                SettlementResult::Lost(Lost::Gone) if self.delivery == Delivery::Undelivered => {
                    Some(record_missing())
                }
                _ => None,
            },
            Ok(Err(error)) => Some(error.into()),
            Err(_) => Some(Error::new(ErrorKind::Storage, "the storage does not answer")),
        };
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.inner.flights.leave(&self.flight, || local_phase(&self.settlement));
        let Some(error) = self.unrecorded.take() else { return };
        self.flight.lose();
        let name = &self.flight.name;
        let error = error.of_call(name);
        let operation = &name.operation;
        match &self.settlement {
            Settlement::Release(_) => {
                self.inner.log.release(name, &error);
            }
            Settlement::Complete(_) => {
                tracing::error!(%operation, %error, "the outcome of a call stays unrecorded");
            }
        }
        if self.delivery == Delivery::Undelivered {
            self.inner.hooks.unrecorded(&CallEvent::new(name, Some(&error)));
        }
    }
}

/// The record of a call expired or was removed while the body ran.
pub(crate) fn record_missing() -> Error {
    Error::new(ErrorKind::Storage, "the record vanished while the body ran")
}

async fn write_once(
    inner: &SharedHandle,
    settlement: &Settlement,
) -> Result<Written, StorageError> {
    match settlement {
        Settlement::Complete(complete) => inner.storage.complete(complete).await,
        Settlement::Release(release) => inner.storage.release(release).await,
    }
}

async fn write_retrying(
    inner: &SharedHandle,
    settlement: &Settlement,
    mut pauses: impl Iterator<Item = Duration>,
) -> Result<Written, StorageError> {
    loop {
        match write_once(inner, settlement).await {
            Err(error) if is_retryable(&error) => match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            },
            answer => return answer,
        }
    }
}

/// Whether the same write may succeed before the lease is over. A full storage may have room again,
/// and unlike a claim this write gains nothing by giving up early: the body has run.
fn is_retryable(error: &StorageError) -> bool {
    error.is_transient() || error.kind() == StorageErrorKind::Full
}

/// Ends the call for its followers, now that the storage has answered.
fn end(
    inner: &SharedHandle,
    flight: &Arc<Flight>,
    settlement: &Settlement,
    written: Written,
) -> SettlementResult {
    match written {
        Written::Done => {
            inner.flights.leave(flight, || local_phase(settlement));
            match settlement {
                Settlement::Release(_) => flight.lose(),
                Settlement::Complete(Complete { finish, .. }) if finish.is_parked() => {
                    inner.parked.add(&flight.name, &inner.hooks);
                }
                Settlement::Complete(_) => inner.parked.resolved(&flight.name.record),
            }
            SettlementResult::Done
        }
        Written::LeaseLost(lost) => {
            inner.flights.leave(flight, || match &lost {
                Lost::Finished(finished) => Phase::Finished(finished.clone()),
                Lost::TakenOver => Phase::Abandoned,
                Lost::Gone => local_phase(settlement),
            });
            flight.lose();
            SettlementResult::Lost(lost)
        }
    }
}

/// The outcome as this process knows it.
fn local_phase(settlement: &Settlement) -> Phase {
    match settlement {
        Settlement::Complete(Complete { finish, .. }) => {
            Phase::Finished(Finished { at: MonotonicClock.now(), finish: finish.clone() })
        }
        Settlement::Release(_) => Phase::Abandoned,
    }
}
