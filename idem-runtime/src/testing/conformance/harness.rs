//! What a backend tells the suite about itself.

use std::time::Duration;

use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::Storage;

/// A storage on the suite's bench: the storage, its time, and the harm that can be done to it.
///
/// Each case gets a harness of its own from the factory, and makes keys that nobody else makes. So harnesses may share a server; they
/// must not share a [`ManualClock`](crate::testing::ManualClock), which one case would move under another's feet.
pub trait Harness: Send + Sync + 'static {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// Now, by the clock that decides the storage's leases: the server's own where there is a server.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Lets at least `duration` pass on that clock: moves a manual clock, or sleeps.
    fn elapse(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Does harm, where this backend can come to it. There is nothing else that a backend may leave out.
    fn inflict(&self, harm: Harm<'_>) -> impl Future<Output = Inflicted> + Send;
}

/// Harm that comes to a storage from outside.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Harm<'a> {
    /// The record of this key is overwritten with bytes that mean nothing; its retention stays.
    Garbage(&'a RecordKey),
    /// The record of this key loses its last byte or bytes; its retention stays.
    Truncated(&'a RecordKey),
    /// The record of this key gets the number of a format version that does not exist yet; its retention stays.
    NewerVersion(&'a RecordKey),
    /// The next request of this harness's storage does not arrive.
    NextRequestLost,
    /// The next request of this harness's storage arrives, and its reply does not.
    NextReplyLost,
}

/// Whether the harm was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inflicted {
    /// It was.
    Done,
    /// It cannot come to this backend, for this reason, which the report shows.
    Unsupported(&'static str),
}
