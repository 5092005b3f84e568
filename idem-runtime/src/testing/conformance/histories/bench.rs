//! What histories need of a storage under test.

use std::time::Duration;

use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::Storage;
use crate::testing::conformance::harness::Harness;

/// A storage, and a way to let time pass for a record without waiting for it.
///
/// On a server that is done past the storage: the record's deadlines are moved back, `UPDATE … SET lease_until = lease_until - $1`, or the
/// time that its key has left is made shorter.
pub trait Bench: Send + Sync {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// Now, by the storage's clock.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Lets time pass for this record, if it is there; it may pass for others too. What never expires does not expire by it.
    fn pass(&self, key: &RecordKey, time: Duration) -> impl Future<Output = ()> + Send;

    /// Whether no time passes but by [`pass`](Self::pass). Then histories are compared to the millisecond, and meet deadlines exactly;
    /// otherwise to five seconds, in which a history has to be through. One that took longer and is told differently is asked again, some
    /// times, before that counts.
    fn is_exact(&self) -> bool;
}

/// A harness whose clock is exact.
#[derive(Debug)]
pub struct ByClock<H>(pub H);

impl<H: Harness> Bench for ByClock<H> {
    type Storage = H::Storage;

    fn storage(&self) -> &H::Storage {
        self.0.storage()
    }

    fn now(&self) -> impl Future<Output = Timestamp> + Send {
        self.0.now()
    }

    async fn pass(&self, _key: &RecordKey, time: Duration) {
        self.0.elapse(time).await;
    }

    fn is_exact(&self) -> bool {
        self.0.clock_is_exact()
    }
}
