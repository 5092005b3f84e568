//! What a backend tells the suite about itself.

use std::time::Duration;

use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::Storage;

/// A storage on the suite's bench: the storage, its time, and the harm that can be done to it.
///
/// Each case gets a harness of its own from the factory, and makes keys that nobody else makes. So harnesses may share a server; they
/// must not share a [`ManualClock`](crate::testing::ManualClock), which one case would move under another's feet.
///
/// Whoever writes a harness says of everything whether the backend can. The one method with a default has the stricter answer.
pub trait Harness: Sized + Send + Sync + 'static {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// Now, by the clock that decides the storage's leases: the server's own where there is a server.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Lets at least `duration` pass on that clock: moves a manual clock, or sleeps.
    fn elapse(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Whether that clock moves by [`elapse`](Self::elapse) alone, by exactly what it was told, as a
    /// [`ManualClock`](crate::testing::ManualClock) does. Then every deadline is tried to the millisecond: give a storage in this process
    /// such a clock for the tests. Otherwise deadlines are tried between what the clock says before and after each call.
    fn clock_is_exact(&self) -> bool;

    /// Whether the backend removes records by itself once their retention is over, as Redis does. Then a purge has nothing to do and must
    /// answer 0. Otherwise, as long as this is not implemented, purges are counted: what they say that they removed is what had expired.
    fn expires_by_itself(&self) -> bool {
        false
    }

    /// Another handle on the same data, as far from the first one as can be: opened anew as another process would, or, where one process
    /// alone can open the data, however the storage is shared within it.
    fn second(&self) -> impl Future<Output = Opened<Self::Storage>> + Send;

    /// Ends the storage as its process's death would, without anything that a storage does when it is closed in good order, and opens it
    /// again on the same data: a new connection to a server, a file as it is at that moment (a copy of it, where closing cannot be kept from
    /// tidying up). Harnesses that share the data go on with it.
    fn reopen(self) -> impl Future<Output = Opened<Self>> + Send;

    /// Does harm, where this backend can come to it.
    fn inflict(&self, harm: Harm<'_>) -> impl Future<Output = Inflicted> + Send;
}

/// Whether a handle was opened.
#[derive(Clone, Debug)]
#[must_use]
pub enum Opened<T> {
    /// It was.
    Done(T),
    /// This backend has no such thing, for this reason, which the report shows.
    Unsupported(&'static str),
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
    /// The next commit of this harness's storage fails: of what it writes nothing is kept, and the storage is told so, as by a disk that is
    /// full or a server that refuses.
    NextCommitFails,
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
