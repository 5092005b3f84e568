//! The storage trait: seven verbs, each one atomic decision, a wake-up, and methods about the
//! storage itself.
//!
//! No verb reads first and writes later. The argument of a verb is the event of the transition
//! table in [`transition`], and every backend must answer as [`step`](transition::step) does; a
//! storage that keeps whole records can run `step` itself inside a transaction. The published suite
//! (`idempotency::testing::conformance`, feature `testing`) has cases for each bullet of the
//! contract below, and compares random histories with the table. The page
//! `docs/writing-a-storage.md` of the repository shows how to write a storage, with a complete
//! small example.
//!
//! # Contract of every verb
//!
//! - It is atomic: of two concurrent calls for one key, one sees the other's effect whole or not at
//!   all.
//! - All handles on the same data, in this process and in others, agree: each sees what any other
//!   has answered, and none decides from cached state or by a lock of its own.
//! - With a server, leases and retention run on the server's clock, never on the caller's wall
//!   clock.
//! - Without a server, the clock does not go back while the process lives
//!   ([`MonotonicClock`](crate::clock::MonotonicClock)), and stored times count from the Unix
//!   epoch, so that they keep their meaning when the data is opened again.
//! - A deadline is the time of the verb plus the duration in whole milliseconds, rounded up. It has
//!   passed for every verb at or after that time: a lease is live, and a record is kept, up to the
//!   millisecond before.
//! - A duration too long for the backend is the longest that it can represent: no sum overflows,
//!   and nothing expires early.
//! - An answer is durable: it comes after the commit, and its effect survives reopening the
//!   storage, unless the backend documents that its data ends with the process.
//! - A failed commit is an error: of kind [`NotApplied`](StorageErrorKind::NotApplied) where
//!   certainly nothing was written, of kind [`Indeterminate`](StorageErrorKind::Indeterminate)
//!   otherwise. No call sees changes that were not committed.
//! - An unreadable record (damaged, newer version) is an error of kind
//!   [`Corrupt`](StorageErrorKind::Corrupt) or [`NewerVersion`](StorageErrorKind::NewerVersion),
//!   and stays unchanged.
//! - An error of kind [`NotApplied`](StorageErrorKind::NotApplied) means that nothing changed;
//!   after a lost reply the kind is [`Indeterminate`](StorageErrorKind::Indeterminate).
//! - Repeating a verb with the same owner and arguments after a lost reply is safe.
//! - Keys are compared byte by byte.
//! - Fingerprints, owners and finishes are compared whole.
//! - No verb blocks the thread that polls it: it waits for a disk or a lock on another thread, as
//!   with `tokio::task::spawn_blocking`.
//! - Dropping the future leaves the record as it was or with the verb's whole effect, never in
//!   between.
//!
//! Verbs are called from any runtime of the process, including the library's own, which renews
//! leases and writes in the background. No verb may depend on another runtime being driven.

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
    /// A fresh id of the caller; the same id marks a repeat of the same request.
    pub owner: OwnerId,
    /// Hash of the operation and its arguments.
    pub fingerprint: Fingerprint,
    /// How long the owner may be silent before others take over.
    pub lease: Duration,
    /// Retention of the record once it is released; a `Processing` record is kept for `lease +
    /// ttl`, or under [`CrashPolicy::Park`] until it is resolved.
    pub ttl: Duration,
    /// What a claim does once this owner's lease has expired; stored in the record.
    pub on_crash: CrashPolicy,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum Claimed {
    /// The caller is the owner and runs the body.
    Acquired {
        /// Higher than that of every earlier owner of this record.
        fence: Fence,
        /// Whether the caller took over from an owner whose lease had expired.
        recovered: bool,
    },
    /// Another owner's lease is live.
    InProgress {
        /// Remaining time of the lease.
        lease_left: Duration,
    },
    /// The stored outcome; a parked crash is `Finish::Failed(Failure::Indeterminate)`.
    Replay(Finished),
    /// This claim found an expired lease under [`CrashPolicy::Park`] and parked the operation;
    /// every later claim replays this outcome.
    Parked(Finished),
    /// The key belongs to another operation or other arguments.
    Mismatch,
}

impl Claimed {
    /// The answer to a claim of a key without a record.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
    pub(crate) const FIRST: Self = Self::Acquired { fence: Fence::FIRST, recovered: false };
}

/// A request to extend the lease by the claimed duration, counted from now.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The key.
    pub key: RecordKey,
    /// The caller's owner id.
    pub owner: OwnerId,
}

/// A request to store the outcome of the operation.
#[derive(Clone, Debug)]
pub struct Complete {
    /// The key.
    pub key: RecordKey,
    /// The caller's owner id.
    pub owner: OwnerId,
    /// The outcome.
    pub finish: Finish,
    /// Retention of the finished record, counted from now.
    pub ttl: Duration,
}

/// A request to release the key, so that the next caller runs.
#[derive(Clone, Debug)]
pub struct Release {
    /// The key.
    pub key: RecordKey,
    /// The caller's owner id.
    pub owner: OwnerId,
}

/// The answer to an owner's write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum Written {
    /// The write is applied, now or by an earlier identical request.
    Done,
    /// The caller does not own the record, or the record is gone; nothing changed.
    LeaseLost(Lost),
}

/// The state of a key whose lease the caller has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum Lost {
    /// No owner: the record was released and not claimed since, expired, or was lost by the server.
    Gone,
    /// Another owner is running.
    TakenOver,
    /// The operation has finished with this outcome.
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
/// compile. Only [`ping`](Self::ping) and [`warnings`](Self::warnings) have defaults, since they
/// decide nothing. A wrapper should forward them.
pub trait Storage: Send + Sync + 'static {
    /// Short name of the backend for logs and metrics: `"memory"`, `"redis"`.
    fn backend(&self) -> &'static str;

    /// The one atomic step that decides who runs.
    ///
    /// - No record, or an expired one: becomes `Processing` with [`Fence::FIRST`], kept for
    ///   `lease + ttl`; the answer is `Acquired`.
    /// - `Released`: becomes `Processing` with the next fence, kept for `lease + ttl`; the answer
    ///   is `Acquired`, not recovered.
    /// - Another fingerprint, in any state: `Mismatch`, checked before everything else.
    /// - `Processing` by the same owner: `Acquired` with the stored fence and `recovered`; nothing
    ///   changes.
    /// - `Processing` by another owner, lease live: `InProgress` with the remaining time, more than
    ///   zero and at most the lease.
    /// - `Processing` by another owner, lease expired, policy `Retry`: the caller becomes the owner
    ///   with the next fence; `Acquired`, recovered.
    /// - `Processing` by another owner, lease expired, policy `Park`: becomes
    ///   `Failed(Indeterminate)` with the dead owner's id; the answer is `Parked` with it.
    /// - `Completed` or `Failed`: `Replay` with the stored bytes; nothing changes, retention
    ///   included.
    /// - `Processing` under `Park` does not expire: after its lease it stays for the claim that
    ///   parks it.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<Claimed, StorageError>> + Send;

    /// Extends leases, as many as the caller has.
    ///
    /// - `Processing` by the same owner, lease live or expired: lease and retention start again;
    ///   `Done`.
    /// - Anything else: `LeaseLost`; nothing changes, and a missing record is not created.
    /// - One answer for each request, in request order; none for an empty batch.
    /// - One request's failure does not fail the others.
    fn renew(
        &self,
        renewals: &[Renew],
    ) -> impl Future<Output = Vec<Result<Written, StorageError>>> + Send;

    /// Stores the outcome of the operation.
    ///
    /// - `Processing` by the same owner, lease live or expired: becomes `Completed` or `Failed`,
    ///   kept for `ttl` from now; `Done`.
    /// - `Failed(Indeterminate)` of the same owner: the late owner resolves it in the same way;
    ///   `Done`.
    /// - `Failed(Indeterminate)` does not expire, whether its owner or a claim wrote it; the
    ///   outcome that resolves it is kept for `ttl` from then.
    /// - Finished by the same owner with the same `finish`: `Done`; nothing changes.
    /// - Anything else: `LeaseLost` with the present state of the key; nothing changes, and a
    ///   missing record is not created.
    fn complete(
        &self,
        complete: &Complete,
    ) -> impl Future<Output = Result<Written, StorageError>> + Send;

    /// Releases a key, so that the next caller runs.
    ///
    /// - `Processing` by the same owner, lease live or expired: becomes `Released` with its
    ///   fingerprint, owner and fence, kept for the claim's `ttl` from now; `Done`.
    /// - `Released` by the same owner: `Done`; nothing changes.
    /// - Anything else: `LeaseLost`; nothing changes.
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

    /// Removes expired records.
    ///
    /// - At most `limit` records are removed, none with a limit of 0; the answer is their number.
    /// - No record is removed before its retention is over; a `Processing` record's retention
    ///   outlives its lease.
    /// - An unreadable record does not stop the purge, and stays unless its retention is readable
    ///   and over.
    /// - A backend that expires records by itself has nothing to do and answers 0.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<u64, StorageError>> + Send;

    /// Lists records for tools, about `limit` a page, starting behind `after`.
    ///
    /// - A record that exists from the first page to the last is listed at least once, with any
    ///   `limit`; 0 counts as 1.
    /// - Expired records are not listed.
    /// - A foreign cursor gives an error or any page, never a panic.
    fn scan(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// Subscribes to changes of a key, so that a waiter need not poll. A waiter subscribes, claims,
    /// and waits while the answer is `InProgress`: that claim tells the backend that there is a
    /// waiter to wake.
    ///
    /// - `None`: the backend has no wake-ups; waiters poll.
    /// - Otherwise a wake-up follows soon after the `complete` or `release` of a record that a
    ///   claim found `InProgress` after this method returned, even if its owner has changed since.
    ///   It may come without a change, and it may be lost: waiters poll as well.
    /// - It comes after the commit: a claim made on a wake-up sees the change.
    fn watch(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Wakeup>, StorageError>> + Send;

    /// A health check for [`Idempotency::ping`](crate::Idempotency::ping): one round trip that
    /// changes nothing. By default, a [`load`](Self::load) of a record that does not exist.
    fn ping(&self) -> impl Future<Output = Result<(), StorageError>> + Send {
        async {
            // Every record's name has separators: no record has this one.
            self.load(&RecordKey::from_stored("ping")).await.map(drop)
        }
    }

    /// Current settings of the backend that can lose records or slow calls down, for
    /// [`Idempotency::warnings`](crate::Idempotency::warnings). By default, none.
    fn warnings(&self) -> impl Future<Output = Result<Vec<StorageWarning>, StorageError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
}
