//! Records in Redis or Valkey, version 7.0 or later: one server, a primary behind Sentinel, or a
//! Cluster.
//!
//! ```no_run
//! # use idem_runtime as idempotency;
//! # async fn example() -> Result<(), idem_runtime::storage::StorageError> {
//! use idempotency::storage::{RedisStorage, Storage};
//!
//! let storage = RedisStorage::connect("redis://:password@127.0.0.1:6379/0").await?;
//! for warning in storage.warnings().await? {
//!     println!("this server may lose records: {warning}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Addresses
//!
//! | URL | is | feature |
//! |---|---|---|
//! | `redis://[user:password@]host[:port][/db]` | one server | `redis` |
//! | `unix:///path.sock[?db=1&user=…&pass=…]`, or `redis+unix://` | one server over its unix socket | `redis` |
//! | `redis-sentinel://[user:password@]host[:port],…/primary[/db]` | the primary that these sentinels name; port 26379 | `redis-sentinel` |
//! | `redis-cluster://[user:password@]host[:port],…` | the cluster that these nodes belong to | `redis-cluster` |
//! | `rediss://`, `rediss-sentinel://`, `rediss-cluster://` | the same over TLS: see below | `redis-tls` |
//!
//! The schemes may be spelled with `valkey` instead of `redis`. Reserved characters in a password
//! must be percent-encoded.
//!
//! TLS uses rustls; the application installs its crypto provider. Server certificates and host
//! names are verified against the system's trusted authorities, those in the file named by the
//! environment variable `SSL_CERT_FILE`, or those given to `RedisBuilder::tls_ca`. A client
//! certificate, for servers that require one, is given to `RedisBuilder::tls_identity`. A
//! certificate that either side rejects is a
//! [`Configuration`](super::StorageErrorKind::Configuration) error.
//!
//! # How keys are named
//!
//! `idem:{}default::template:payment:(42)` is the prefix (`idem:`), `{}`, and the [record's
//! name](crate::key::RecordKey). The channel on which the waiters of a record are woken has the
//! same name.
//!
//! In a cluster the text between the first braces of a name chooses its slot; without braces, the
//! whole name does. With the `{}` in front, braces in a key or a tenant have no meaning, and the
//! records of one client spread over all nodes. A prefix contains no braces and ends at the first
//! one, so storages with different prefixes never share a key.
//!
//! # How a record is stored
//!
//! Each record is one key, so that it is on one node of a cluster. Its value is a header at fixed
//! offsets, followed by the result (`wire.rs`). The key's time to live is the only deadline. The
//! claim and each heartbeat set it to `lease + ttl`, so the remaining lease is the key's time to
//! live minus the ttl. It is measured by the server's clock; clients' clocks are not used. If the
//! record is to be parked when its owner dies, its time to live is 1000 years longer. A parked
//! record has no expiry.
//!
//! | verb | commands | decided by |
//! |---|---|---|
//! | claim of a free key | `SET key record NX GET PX` | the server: the key did not exist |
//! | claim of a finished key, or with other arguments | the same `SET`, whose `GET` returns the stored record | this process, from the record |
//! | claim of a key that another owner is processing, or of a released key | the same `SET`, then `EVALSHA` | `claim.lua`: lease live, expired with policy retry, or expired with policy park; the next fence |
//! | renew, a batch as one pipeline | `EVALSHA` each | `renew.lua`: still the owner? |
//! | complete, several at the same time as one command | `EVALSHA` | `complete.lua`: still the owner? then write, and wake the waiters |
//! | release | `EVALSHA` | `release.lua`: still the owner? then keep the fence for the ttl, and wake the waiters |
//! | load, scan | `EVALSHA` | `load.lua`: record, time left and time of one moment |
//!
//! So a new call is two commands at most and a replay is one. With many concurrent calls, commands
//! go as pipelines, and completions share a script call (`sender.rs`); the outcome of each is still
//! decided individually.
//!
//! # Connections
//!
//! Each runtime that makes calls has two connections of its own (`senders.rs`): the commands for
//! one key use the same one, and none crosses a thread. A stalled runtime holds up no other
//! runtime's calls. Heartbeats, background writes, and commands without a runtime use one more
//! connection, on a thread of the library's own; another one there receives wake-ups while there
//! are waiters. So a process with one runtime has three or four connections. In a cluster each is
//! one per node, and a runtime has one instead of two.
//!
//! A message is published only where there are waiters: a claim that meets another owner marks the
//! record as waited for, and the outcome of an unmarked record is not published. Renewals and
//! takeovers keep the mark. A waiter subscribes before it claims, so either that claim finds the
//! outcome, or the completion finds the mark.
//!
//! The scripts restate the table of [`storage::transition`](crate::storage::transition) and are
//! tested against it with random histories.
//!
//! Leases and ttls are whole milliseconds and at most a century; a retention of zero is one
//! millisecond.
//!
//! # What happens when something fails
//!
//! | at | then |
//! |---|---|
//! | the caller dies before a claim arrives | nothing happened |
//! | … between claim and complete | the lease runs out, and the crash policy in the record decides, in `claim.lua` |
//! | … after complete has arrived | the result is there, and the waiters were woken |
//! | the reply to a claim is lost | the same owner's second claim finds its own record and is acquired, with the fence it had |
//! | the reply to a complete is lost | the same owner's second complete finds its own result and is done |
//! | the reply to a renewal is lost | a repeated renewal only extends the lease further |
//! | the reply to a release is lost | the second one finds the key released by this owner and is done, or finds another owner and changes nothing |
//! | an owner writes late, after a takeover | the record has another owner id: lease lost, nothing changes |
//! | the server's clock jumps forward | leases and retentions end early, as they do for every key with an expiry; the fence and the owner id still refuse the late owner's writes |
//! | the server's clock jumps back | leases and retentions last longer |
//! | the user lacks a right that a later verb needs | no connection is made: a [`Configuration`](super::StorageErrorKind::Configuration) error names it (`rights.rs`) |
//! | the server does not know a script (restart, failover, `SCRIPT FLUSH`) | the call is repeated with the script's text; nobody notices |
//! | the connection breaks or no longer answers | requests under way fail as [`Indeterminate`](super::StorageErrorKind::Indeterminate), the next one connects anew |
//! | the server is demoted to a replica | `READONLY` is [`NotApplied`](super::StorageErrorKind::NotApplied); the next request asks the sentinels, or the name service, for the new one |
//! | memory is full, under `noeviction` | claims and results are refused, renewals and releases go on |
//! | a wake-up message is lost, or a failover loses the mark of a record with waiters | the waiter finds the result at its next poll |
//!
//! # What it can lose
//!
//! Redis acknowledges a write before it is safe. A record that is lost is an operation that can run
//! again:
//!
//! - at a **failover**, of Sentinel or Cluster alike, what the old primary had acknowledged and not
//!   yet replicated;
//! - at a **crash**, what was not yet on disk: up to a second with `appendfsync everysec`,
//!   everything since the last snapshot with snapshots alone, everything without either; nothing
//!   with `appendonly yes` and `appendfsync always`;
//! - by **eviction**, under any `maxmemory-policy` but `noeviction`;
//! - by hand: `FLUSHALL`, `DEL`.
//!
//! A server without persistence or with an eviction policy is reported in the log when it is
//! connected to, and by [`warnings`](super::Storage::warnings). A fence starts again at 1 when the
//! record is lost or deleted; the owner id, which every write compares, does not repeat.

mod address;
mod check;
#[cfg(feature = "redis-cluster")]
mod cluster;
#[cfg(not(feature = "redis-cluster"))]
#[path = "without_cluster.rs"]
mod cluster;
mod commands;
mod completion;
mod connect;
mod error;
mod link;
mod names;
#[cfg(feature = "redis-tls")]
mod own_certificates;
mod rights;
mod scan;
mod script;
mod sender;
mod senders;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
#[cfg(not(feature = "redis-sentinel"))]
#[path = "without_sentinel.rs"]
mod sentinel;
mod storage;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(not(feature = "redis-tls"))]
#[path = "without_tls.rs"]
mod tls;
mod transport;
mod watch;
mod wire;

pub use self::commands::{Commands, Refusal};
pub use self::connect::RedisBuilder;
pub use self::storage::RedisStorage;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub use self::wire::fuzzing;
