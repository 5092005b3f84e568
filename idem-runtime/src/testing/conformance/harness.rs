//! The interface between the suite and a backend.

use std::time::Duration;

use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::Storage;

/// A storage under test, with its clock and the harm that it can suffer.
///
/// Each case gets a harness of its own from the factory and uses keys of its own. So harnesses may
/// share a server. They must not share a [`ManualClock`](crate::testing::ManualClock): one case
/// would advance it during another.
///
/// A harness states every capability explicitly. The one default,
/// [`expires_by_itself`](Self::expires_by_itself), is the stricter choice.
pub trait Harness: Sized + Send + Sync + 'static {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// The time by the clock that decides the storage's leases: the server's own where there is a
    /// server.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Lets at least `duration` pass on that clock: advances a manual clock, or sleeps.
    fn elapse(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Whether only [`elapse`](Self::elapse) moves that clock, and exactly by `duration`, as with a
    /// [`ManualClock`](crate::testing::ManualClock). Then the suite tests every deadline to the
    /// millisecond: give a storage in this process such a clock. Otherwise it tests deadlines
    /// against the readings of the clock before and after each call.
    fn clock_is_exact(&self) -> bool;

    /// Whether the backend removes expired records by itself, as Redis does. Then a purge has
    /// nothing to do and must answer 0. Otherwise, the default, the suite compares the answers of
    /// purges with the number of expired records.
    fn expires_by_itself(&self) -> bool {
        false
    }

    /// Another handle on the same data, as independent of the first as possible: opened as another
    /// process would, or, where only one process can open the data, shared as the application would
    /// share it.
    fn second(&self) -> impl Future<Output = Opened<Self::Storage>> + Send;

    /// Ends the storage as a crash of its process would, without a clean close, and opens it again
    /// on the same data: a new connection to a server, or a file as it is at that moment (a copy,
    /// where dropping the storage cannot avoid a clean close). Other harnesses on the same data
    /// keep working.
    fn reopen(self) -> impl Future<Output = Opened<Self>> + Send;

    /// Inflicts the harm, if this backend can suffer it.
    fn inflict(&self, harm: Harm<'_>) -> impl Future<Output = Inflicted> + Send;
}

/// The result of opening a handle.
#[derive(Clone, Debug)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a harness may wrap another one")]
pub enum Opened<T> {
    /// It was.
    Done(T),
    /// This backend does not support it; the report shows the reason.
    Unsupported(&'static str),
}

/// Damage to a storage from outside.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Harm<'a> {
    /// The record of this key is overwritten with random bytes; its retention stays.
    Garbage(&'a RecordKey),
    /// The record of this key loses its last byte or bytes; its retention stays.
    Truncated(&'a RecordKey),
    /// The record of this key gets an unknown, newer format version; its retention stays.
    NewerVersion(&'a RecordKey),
    /// The next request of this harness's storage is lost.
    NextRequestLost,
    /// The next request of this harness's storage arrives, and its reply is lost.
    NextReplyLost,
    /// The next commit of this harness's storage fails without any effect, and the storage gets the
    /// error, as from a full disk or a refusing server.
    NextCommitFails,
}

/// The result of inflicting harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a harness may wrap another one")]
pub enum Inflicted {
    /// It was.
    Done,
    /// This backend cannot suffer it; the report shows the reason.
    Unsupported(&'static str),
}
