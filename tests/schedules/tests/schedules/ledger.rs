//! What the bodies did, kept outside of what is being tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use idem_shuttle::internal::time::Instant;
use idem_shuttle::storage::Storage;
use idem_shuttle::{Error, Idempotency, Operation};
use shuttle::future::yield_now;

/// Long enough that nobody loses one because of the machine, where that is patient.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Bodies that ran, and that run now.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    running: AtomicU64,
}

/// A body that runs.
struct Running<'l>(&'l Ledger);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, SeqCst);
    }
}

impl Ledger {
    /// A body that lets others go on, and gives its number. No other may run beside it (G2).
    pub(crate) async fn body(&self) -> Result<u64, Error> {
        self.body_for(Duration::ZERO).await
    }

    /// One that takes this long.
    pub(crate) async fn body_for(&self, takes: Duration) -> Result<u64, Error> {
        let number = self.0.begun.fetch_add(1, SeqCst) + 1;
        let others = self.0.running.fetch_add(1, SeqCst);
        let _running = Running(self);
        assert_eq!(others, 0, "G2: two bodies run at once");
        yield_now().await;
        idem_shuttle::internal::time::sleep(takes).await;
        yield_now().await;
        Ok(number)
    }

    /// How many have begun.
    pub(crate) fn executions(&self) -> u64 {
        self.0.begun.load(SeqCst)
    }
}

/// A process that uses `storage`.
pub(crate) fn process(storage: &(impl Storage + Clone)) -> Idempotency {
    Idempotency::builder(storage.clone()).lease(LEASE).build().unwrap()
}

/// A call that waits for the result of another.
pub(crate) fn patient(idem: &Idempotency) -> Operation {
    idem.operation("pay").key("k").wait(PATIENCE)
}

/// Everybody was woken: where time passes only when all wait, it has not.
pub(crate) fn at_once(begun: Instant) {
    assert_eq!(begun.elapsed(), Duration::ZERO, "somebody was not woken and looked later");
}
