//! The storage trait: seven verbs, each one atomic decision, a wake-up, and what is asked about a
//! storage itself.
//!
//! Nothing here reads and then writes. The argument of a verb is the event of the transition table
//! in [`transition`], and every backend must answer as [`step`](transition::step) does; a storage
//! that keeps whole records can run `step` itself inside a transaction. The published suite
//! (`idempotency::testing::conformance`, feature `testing`) has cases for each bullet of the
//! contract below, and compares random histories with the table. How to write a storage, with a
//! complete small one, is told in `docs/writing-a-storage.md` of the repository.
//!
//! # Contract of every verb
//!
//! - It is atomic: of two concurrent calls for one key, one sees the other's effect whole or not at
//!   all.
//! - All handles on the same data, in this process and in others, decide alike: what one has
//!   answered every other sees, and none decides by what it remembers or by a lock that is its own.
//! - Leases and retention run on the storage's clock where there is a server, never on the caller's
//!   wall clock.
//! - Where there is no server the clock is one that does not go back while the process lives
//!   ([`MonotonicClock`](crate::clock::MonotonicClock)), and what is stored are moments since the
//!   Unix epoch, which mean the same when the data is opened again.
//! - A deadline is the moment of the verb plus the duration in whole milliseconds, rounded up; it
//!   has come when it is at most the moment of the verb that asks. So a lease is live, and a record
//!   is kept, up to the millisecond before.
//! - A duration that is too long for the backend to count lasts as long as it can count: no sum
//!   overflows, and nothing ends early.
//! - What a verb has answered is there when the storage is opened again, unless the backend says
//!   that it ends with its process: the answer comes after the commit.
//! - A commit that fails is an error and not an answer: of kind
//!   [`NotApplied`](StorageErrorKind::NotApplied) where certainly nothing is written, of kind
//!   [`Indeterminate`](StorageErrorKind::Indeterminate) otherwise. Nobody is shown what it would
//!   have written and did not.
//! - An unreadable record (damaged, newer version) is an error of kind
//!   [`Corrupt`](StorageErrorKind::Corrupt) or [`NewerVersion`](StorageErrorKind::NewerVersion) and
//!   stays as it is.
//! - An error of kind [`NotApplied`](StorageErrorKind::NotApplied) means that nothing changed; when
//!   the reply was lost the kind is [`Indeterminate`](StorageErrorKind::Indeterminate).
//! - Repeating a verb with the same owner and arguments after a lost reply is safe.
//! - Keys are compared byte by byte.
//! - Fingerprints, owners and finishes are compared whole.
//! - No verb blocks the thread that polls it: what waits for a disk, or for a lock that somebody
//!   holds meanwhile, does so on a thread of its own, as with `tokio::task::spawn_blocking`.
//! - Dropping the future leaves the record as it was or as the verb leaves it, never in between.
//!
//! Verbs are called from any runtime of the process, the library's own among them, which renews
//! leases and writes in the background. None may need another runtime to be driven.

#[cfg(any(feature = "redis", feature = "_sql"))]
mod batch;
mod erased;
pub mod memory;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
mod reach;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "_sql")]
pub mod sql;
pub mod transition;
mod warning;
mod watch;

use std::time::Duration;

pub use erased::SharedStorage;
pub use memory::MemoryStorage;
#[cfg(feature = "redis")]
pub use redis::RedisStorage;
#[cfg(feature = "mysql")]
pub use sql::MySqlStorage;
#[cfg(feature = "postgres")]
pub use sql::PostgresStorage;
#[cfg(feature = "sqlite")]
pub use sql::SqliteStorage;
pub use warning::StorageWarning;
pub use watch::{Wakeup, Watchers};

pub use crate::error::{StorageError, StorageErrorKind};
use crate::fingerprint::Fingerprint;
use crate::key::RecordKey;
use crate::record::{CrashPolicy, Fence, Finish, Finished, OwnerId, Record};

/// A request to become the owner of a key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key.
    pub key: RecordKey,
    /// The caller's fresh id; the same id again is the same request again.
    pub owner: OwnerId,
    /// Operation and arguments.
    pub fingerprint: Fingerprint,
    /// How long the owner may be silent before others take over.
    pub lease: Duration,
    /// Retention of the record once it is released; a `Processing` record is kept for `lease +
    /// ttl`, or under [`CrashPolicy::Park`] until it is resolved.
    pub ttl: Duration,
    /// What a takeover from this owner does; it travels in the record.
    pub on_crash: CrashPolicy,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The caller is the owner and runs the body.
    Acquired {
        /// Higher than that of every earlier owner of this record.
        fence: Fence,
        /// Whether the owner before died: the caller took over from it.
        recovered: bool,
    },
    /// Another owner's lease is live.
    InProgress {
        /// What is left of the lease.
        lease_left: Duration,
    },
    /// The operation has ended; a crash that was parked is
    /// `Finish::Failed(Failure::Indeterminate)`.
    Replay(Finished),
    /// This claim found that the owner had died, and parked the operation: what every later claim
    /// replays.
    Parked(Finished),
    /// The key belongs to another operation or other arguments.
    Mismatch,
}

/// A request to extend the lease by the duration that was claimed, counted from now.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The key.
    pub key: RecordKey,
    /// Who asks.
    pub owner: OwnerId,
}

/// A request to record how the operation ended.
#[derive(Clone, Debug)]
pub struct Complete {
    /// The key.
    pub key: RecordKey,
    /// Who asks.
    pub owner: OwnerId,
    /// How it ended.
    pub finish: Finish,
    /// Retention of the finished record, counted from now.
    pub ttl: Duration,
}

/// A request to give the key back, so that the next caller runs.
#[derive(Clone, Debug)]
pub struct Release {
    /// The key.
    pub key: RecordKey,
    /// Who asks.
    pub owner: OwnerId,
}

/// The answer to an owner's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done, now or by an earlier identical request.
    Done,
    /// The caller does not own the record, or it is gone; nothing changed.
    LeaseLost(Lost),
}

/// What a caller that lost its lease finds in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody's claim: the record was released and has no owner since, or it expired, or the server
    /// lost it.
    Gone,
    /// Another owner is at work.
    TakenOver,
    /// The operation has ended: what everybody gets.
    Finished(Finished),
}

/// One page of a [`Storage::scan`].
#[derive(Debug)]
pub struct Page {
    /// The records, in no particular order; an unreadable one is its error.
    pub records: Vec<(RecordKey, Result<Record, StorageError>)>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Cursor>,
}

/// Opaque position of a [`Storage::scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Where records live. See the [module](self) for the contract that all verbs share.
///
/// Implement it with plain `async fn`. Verbs have no defaults: a wrapper that forgets one does not
/// compile. What is asked about the storage itself has: [`ping`](Self::ping) and
/// [`warnings`](Self::warnings) decide nothing. A wrapper passes them on.
pub trait Storage: Send + Sync + 'static {
    /// Short name of the backend for logs and metrics: `"memory"`, `"redis"`.
    fn backend(&self) -> &'static str;

    /// The one atomic step that decides who runs.
    ///
    /// - No record, or an expired one: becomes `Processing` with [`Fence::FIRST`], kept for `lease +
    ///   ttl`; the answer is `Acquired`.
    /// - `Released`: likewise, with the next fence; that is no recovery.
    /// - Another fingerprint, in whatever state: `Mismatch`, before anything else is looked at.
    /// - `Processing` by the same owner: `Acquired` with the same fence, recovered if it was,
    ///   nothing changes.
    /// - `Processing` by another owner, lease live: `InProgress` with what is left of the lease,
    ///   more than zero and at most the lease.
    /// - `Processing` by another owner, lease over, its policy `Retry`: the caller becomes the
    ///   owner with the next fence; `Acquired`, recovered.
    /// - `Processing` by another owner, lease over, its policy `Park`: becomes
    ///   `Failed(Indeterminate)` that still names the dead owner; the answer is `Parked` with it.
    /// - `Completed` or `Failed`: `Replay` with the bytes that were stored; nothing changes,
    ///   retention included.
    /// - `Processing` under `Park` does not expire: once its lease is over it stays for the claim
    ///   that parks it.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<Claimed, StorageError>> + Send;

    /// Extends leases, as many as the caller has.
    ///
    /// - `Processing` by the same owner, its lease live or over: the lease starts again and so does
    ///   retention; `Done`.
    /// - Anything else: `LeaseLost`, nothing changes; a record that is gone stays gone.
    /// - One answer for each request, in their order, and none for none.
    /// - One request's failure does not fail the others.
    fn renew(
        &self,
        renewals: &[Renew],
    ) -> impl Future<Output = Vec<Result<Written, StorageError>>> + Send;

    /// Records how the operation ended.
    ///
    /// - `Processing` by the same owner, its lease live or over: becomes `Completed` or `Failed`,
    ///   kept for `ttl` from now; `Done`.
    /// - `Failed(Indeterminate)` of the same owner: the late owner resolves it likewise; `Done`.
    /// - `Failed(Indeterminate)` does not expire, whoever wrote it; what resolves it is kept for
    ///   `ttl` from then.
    /// - Finished by the same owner with the same `finish`: `Done`, nothing changes.
    /// - Anything else: `LeaseLost` with what is there instead; nothing changes; a record that is
    ///   gone stays gone.
    fn complete(
        &self,
        complete: &Complete,
    ) -> impl Future<Output = Result<Written, StorageError>> + Send;

    /// Gives a key back.
    ///
    /// - `Processing` by the same owner, its lease live or over: becomes `Released`, with
    ///   fingerprint, owner and fence, kept for the `ttl` of the claim from now; `Done`.
    /// - `Released` by the same owner: `Done`, nothing changes.
    /// - Anything else: `LeaseLost`, nothing changes.
    fn release(
        &self,
        release: &Release,
    ) -> impl Future<Output = Result<Written, StorageError>> + Send;

    /// Reads a record for tools; the engine never decides on it.
    ///
    /// - No record, or an expired one: `None`.
    /// - Otherwise the record, with deadlines on the storage's clock.
    fn load(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Record>, StorageError>> + Send;

    /// Removes records whose retention is over.
    ///
    /// - At most `limit` are removed, none with a limit of 0; the answer is how many.
    /// - A record whose retention is not over is never removed; a `Processing` record's retention
    ///   outlives its lease.
    /// - What cannot be read does not stop it, and stays unless its retention can be read and is
    ///   over.
    /// - A backend that expires records by itself has nothing to do and answers 0.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<u64, StorageError>> + Send;

    /// Lists records for tools, about `limit` a page, starting behind `after`.
    ///
    /// - A record that is there from the first page to the last is listed at least once, whatever
    ///   the `limit`: 0 is one of 1.
    /// - Expired records are not listed.
    /// - A cursor that is not this storage's is an error or any page, never a panic.
    fn scan(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// Subscribes to changes of a key, so that a waiter need not poll. A waiter subscribes, claims,
    /// and waits while the answer is `InProgress`: from that claim a backend learns that there is
    /// somebody to wake.
    ///
    /// - `None`: the backend has no wake-ups; waiters poll.
    /// - Otherwise the wake-up comes soon after the `complete` or `release` of a record that a
    ///   claim found `InProgress` after this method returned, whoever owns it by then. It may come
    ///   without a change, and it may be lost: waiters poll beside it.
    /// - It comes after the commit: whoever claims when it comes finds the change.
    fn watch(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Wakeup>, StorageError>> + Send;

    /// A sign of life, for [`Idempotency::ping`](crate::Idempotency::ping): one round trip that
    /// changes nothing. Unless it is implemented, a [`load`](Self::load) of a record that does not
    /// exist.
    fn ping(&self) -> impl Future<Output = Result<(), StorageError>> + Send {
        async {
            // No name of a record is without its separators.
            self.load(&RecordKey::from_stored("ping")).await.map(drop)
        }
    }

    /// The settings as they are now under which records can be lost, or calls are slower than need
    /// be, for [`Idempotency::warnings`](crate::Idempotency::warnings). Unless it is implemented,
    /// none.
    fn warnings(&self) -> impl Future<Output = Result<Vec<StorageWarning>, StorageError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
}
