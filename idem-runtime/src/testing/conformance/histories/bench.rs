//! The interface between histories and a storage under test.

use std::time::Duration;

use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::Storage;
use crate::testing::conformance::harness::Harness;

/// A storage, and a way to advance a record's time without waiting.
///
/// On a server this bypasses the storage: it moves the record's deadlines back (`UPDATE … SET
/// lease_until = lease_until - $1`) or shortens its key's remaining time.
pub trait Bench: Send + Sync {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// The time by the storage's clock.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Advances the time of this record, if it exists; the time of others may advance too. A record
    /// that never expires must not expire by this.
    fn pass(&self, key: &RecordKey, time: Duration) -> impl Future<Output = ()> + Send;

    /// Whether time passes only through [`pass`](Self::pass). Then histories are compared to the
    /// millisecond and hit deadlines exactly. Otherwise they are compared to five seconds, within
    /// which a history has to finish; one that takes longer and diverges runs again, a few times,
    /// before the divergence counts.
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
