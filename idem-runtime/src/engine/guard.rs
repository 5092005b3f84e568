//! The guard of a call: whatever happens to the caller's future, the key is not left locked.
//!
//! | dropped while | the drop |
//! |---|---|
//! | the call is not in the in-flight table | does nothing |
//! | nothing is claimed | removes the call from the table |
//! | the claim is unanswered, or the body has not begun | releases: the body did not run, and the next owner's fence is higher all the same |
//! | the body runs | applies the crash policy: `retry` releases, `park` records `Indeterminate` and calls the hook `on_parked` |
//! | the outcome is being persisted | continues the write in the background |
//! | the call is over | does nothing |
//!
//! A panic of the body is caught, [`Guard::crash`] applies the crash policy, and the panic goes on.

use std::sync::Arc;
use std::time::Duration;

use super::flight::{Flight, Phase, later};
use super::settle::{Delivery, Settlement, SettlementResult, in_background, settle};
use super::shared::SharedHandle;
use crate::record::{CrashPolicy, Failure, Finish};
use crate::storage::{Complete, Release};
use crate::sync::time::{Instant, timeout};

/// How long a panic is held back while its crash policy is applied.
const PANIC_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Guard<'c> {
    pub(crate) inner: &'c Arc<SharedHandle>,
    pub(crate) flight: &'c Arc<Flight>,
    stage: GuardStage,
    /// The outcome that is being persisted. The stage is over then.
    settling: Option<(Settlement, Delivery)>,
}

enum GuardStage {
    Unclaimed,
    /// The claim is unanswered: the key may be this call's.
    Claiming,
    Running {
        on_crash: CrashPolicy,
        ttl: Duration,
    },
    /// There is nothing to undo.
    Over,
}

impl<'c> Guard<'c> {
    pub(crate) fn new(inner: &'c Arc<SharedHandle>, flight: &'c Arc<Flight>) -> Self {
        Self { inner, flight, stage: GuardStage::Over, settling: None }
    }

    /// The call is in the in-flight table, so that duplicates may follow it.
    pub(crate) fn entered(&mut self) {
        self.stage = GuardStage::Unclaimed;
    }

    /// The claim is sent: from now on the key may be this call's.
    pub(crate) fn claiming(&mut self) {
        self.stage = GuardStage::Claiming;
    }

    /// The storage refused the claim: there is nothing to undo.
    pub(crate) fn refused(&mut self) {
        self.stage = GuardStage::Unclaimed;
    }

    /// The key is this call's and the body is polled next.
    pub(crate) fn running(&mut self, on_crash: CrashPolicy, ttl: Duration) {
        self.stage = GuardStage::Running { on_crash, ttl };
    }

    /// Persists the outcome; `None` releases the key.
    pub(crate) async fn settle(
        &mut self,
        finish: Option<Finish>,
        ttl: Duration,
    ) -> SettlementResult {
        let delivery = match finish {
            Some(_) => Delivery::Undelivered,
            None => Delivery::Nothing,
        };
        let settlement = self.settlement(finish, ttl);
        self.settle_as(settlement, delivery).await
    }

    async fn settle_as(&mut self, settlement: Settlement, delivery: Delivery) -> SettlementResult {
        self.flight.settles();
        self.stage = GuardStage::Over;
        let (settlement, _) = self.settling.insert((settlement, delivery));
        let settled = settle(self.inner, self.flight, settlement).await;
        self.settling = None;
        settled
    }

    /// Reports that the record is parked.
    pub(crate) fn report_parked(&self) {
        self.inner.parked.add(&self.flight.name, &self.inner.hooks);
    }

    /// The body panicked: applies its crash policy before the panic goes on.
    pub(crate) async fn crash(&mut self) {
        let GuardStage::Running { on_crash, ttl } = self.stage else { return };
        // Tasks that the body has spawned have lost their lease.
        self.flight.lose();
        let settlement = self.crashed(on_crash, ttl);
        // A write that takes longer continues in the background when this is dropped.
        let settling = self.settle_as(settlement, Delivery::Nothing);
        let _ = timeout(PANIC_PATIENCE, settling).await;
    }

    fn settlement(&self, finish: Option<Finish>, ttl: Duration) -> Settlement {
        let key = self.flight.name.record.clone();
        let owner = self.flight.owner;
        match finish {
            Some(finish) => Settlement::Complete(Complete { key, owner, finish, ttl }),
            None => Settlement::Release(Release { key, owner }),
        }
    }

    /// The settlement that the crash policy prescribes for a body that was dropped or panicked.
    fn crashed(&self, on_crash: CrashPolicy, ttl: Duration) -> Settlement {
        let finish = match on_crash {
            CrashPolicy::Retry => None,
            CrashPolicy::Park => Some(Finish::Failed(Failure::Indeterminate)),
        };
        self.settlement(finish, ttl)
    }

    /// Ends a call that has nothing to persist.
    pub(crate) fn end(&mut self, phase: impl FnOnce() -> Phase) {
        self.stage = GuardStage::Over;
        self.inner.flights.leave(self.flight, phase);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let lease = self.flight.lease;
        let (settlement, delivery, patience) = match (self.settling.take(), &self.stage) {
            (Some((settlement, delivery)), _) => (settlement, delivery, lease),
            (None, GuardStage::Over) => return,
            (None, GuardStage::Unclaimed) => {
                self.inner.flights.leave(self.flight, || Phase::Abandoned);
                return;
            }
            // The body did not run. The release is retried only briefly, because an outage causes
            // many of these; after that, the lease expires.
            (None, GuardStage::Claiming) => {
                (self.settlement(None, Duration::ZERO), Delivery::Nothing, Duration::ZERO)
            }
            (None, GuardStage::Running { on_crash, ttl }) => {
                (self.crashed(*on_crash, *ttl), Delivery::Nothing, lease)
            }
        };
        if delivery == Delivery::Nothing && !matches!(self.stage, GuardStage::Claiming) {
            // Tasks that the body has spawned have lost their lease.
            self.flight.lose();
        }
        self.flight.settles();
        let deadline = later(Instant::now(), patience);
        in_background(self.inner, self.flight, settlement, deadline, delivery);
    }
}
