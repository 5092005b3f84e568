//! The guard of a call: whatever happens to the caller's future, the key is not left locked.
//!
//! | dropped while | what the drop does |
//! |---|---|
//! | the call is not on the list yet | nothing |
//! | nothing is claimed | takes the call off the list |
//! | the claim's answer is awaited, or the body has not begun | releases: the body did not run, and the next owner's fence is higher all the same |
//! | the body runs | the crash policy at once: `retry` releases, `park` records `Indeterminate` and tells the hook `on_parked` |
//! | the end is being written | goes on writing it in the background |
//! | it is over | nothing |
//!
//! A panic of the body is caught, its crash policy applied by [`Guard::crash`], and then it goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::flight::{Flight, Phase, later};
use super::settle::{Settled, Settlement, in_background, settle};
use super::shared::Inner;
use crate::record::{CrashPolicy, Failure, Finish};
use crate::storage::{Complete, Release};

/// How long a panic is held back until its crash policy is applied.
const PANIC_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Guard<'c> {
    pub(crate) inner: &'c Arc<Inner>,
    pub(crate) flight: &'c Arc<Flight>,
    stage: Stage,
    /// Set while the end is being written.
    settling: Option<Settlement>,
}

enum Stage {
    Unclaimed,
    Asking,
    Running {
        on_crash: CrashPolicy,
        ttl: Duration,
    },
    /// The body panicked, and its crash policy is being applied.
    Crashed,
    /// There is nothing to undo.
    Over,
}

impl<'c> Guard<'c> {
    pub(crate) fn new(inner: &'c Arc<Inner>, flight: &'c Arc<Flight>) -> Self {
        Self { inner, flight, stage: Stage::Over, settling: None }
    }

    /// The call is on the list, so that duplicates may attach to it.
    pub(crate) fn entered(&mut self) {
        self.stage = Stage::Unclaimed;
    }

    /// The storage is being asked: from now on the key may be this call's.
    pub(crate) fn asking(&mut self) {
        self.stage = Stage::Asking;
    }

    /// The storage said no: nothing to undo.
    pub(crate) fn refused(&mut self) {
        self.stage = Stage::Unclaimed;
    }

    /// The key is this call's and the body is to be polled next.
    pub(crate) fn running(&mut self, on_crash: CrashPolicy, ttl: Duration) {
        self.stage = Stage::Running { on_crash, ttl };
    }

    /// Writes how it ended; `None` releases the key.
    pub(crate) async fn settle(&mut self, finish: Option<Finish>, ttl: Duration) -> Settled {
        self.flight.settles();
        let settlement = self.settlement(finish, ttl);
        let settlement = self.settling.insert(settlement);
        let settled = settle(self.inner, self.flight, settlement).await;
        self.settling = None;
        self.stage = Stage::Over;
        settled
    }

    /// The body panicked: applies its crash policy before the panic goes on.
    pub(crate) async fn crash(&mut self) {
        let Stage::Running { on_crash, ttl } = self.stage else { return };
        self.stage = Stage::Crashed;
        // What the body has begun elsewhere has nobody left to work for.
        self.flight.lose();
        let (finish, ttl) = match on_crash {
            CrashPolicy::Retry => (None, Duration::ZERO),
            CrashPolicy::Park => (Some(Finish::Failed(Failure::Indeterminate)), ttl),
        };
        // What takes longer goes on in the background when this is dropped.
        let _ = timeout(PANIC_PATIENCE, self.settle(finish, ttl)).await;
    }

    fn settlement(&self, finish: Option<Finish>, ttl: Duration) -> Settlement {
        let key = self.flight.name.record.clone();
        let owner = self.flight.owner;
        match finish {
            Some(finish) => Settlement::Complete(Complete { key, owner, finish, ttl }),
            None => Settlement::Release(Release { key, owner }),
        }
    }

    /// Ends a call that has nothing to write.
    pub(crate) fn end(&mut self, phase: impl FnOnce() -> Phase) {
        self.stage = Stage::Over;
        self.inner.flights.leave(self.flight, phase);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let (settlement, untold) = match (self.settling.take(), &self.stage) {
            (Some(settlement), _) => {
                let untold = matches!(settlement, Settlement::Complete(_))
                    && !matches!(self.stage, Stage::Crashed);
                (settlement, untold)
            }
            (None, Stage::Crashed | Stage::Over) => return,
            (None, Stage::Unclaimed) => {
                self.inner.flights.leave(self.flight, || Phase::Abandoned);
                return;
            }
            (None, Stage::Asking | Stage::Running { on_crash: CrashPolicy::Retry, .. }) => {
                (self.settlement(None, Duration::ZERO), false)
            }
            (None, Stage::Running { on_crash: CrashPolicy::Park, ttl }) => {
                (self.settlement(Some(Finish::Failed(Failure::Indeterminate)), *ttl), false)
            }
        };
        self.flight.settles();
        if matches!(self.stage, Stage::Running { .. }) && !untold {
            // What the body has begun elsewhere has nobody left to work for.
            self.flight.lose();
        }
        // A body that did not run leaves nothing to wait for: if a short retry does not release its claim, the lease does. In an outage
        // there may be many of those.
        let patience = match self.stage {
            Stage::Asking => Duration::ZERO,
            _ => self.flight.lease,
        };
        let deadline = later(tokio::time::Instant::now(), patience);
        in_background(self.inner, self.flight, settlement, deadline, untold);
    }
}
