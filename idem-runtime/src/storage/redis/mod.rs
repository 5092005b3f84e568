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
//! `valkey` may stand for `redis`. Characters of a password that mean something in a URL are
//! percent-encoded.
//!
//! TLS is rustls'. The application installs its crypto provider. The servers' certificates are
//! checked, with their host names, against the authorities that the system trusts or that the
//! environment variable `SSL_CERT_FILE` names, or those given to `RedisBuilder::tls_ca`; a
//! certificate for servers that ask for one goes to `RedisBuilder::tls_identity`. A certificate
//! that is not accepted, on either side, is a
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
//! One key per record, so that a record is on one node of a cluster. Its value is a header at fixed
//! offsets and the result (`wire.rs`). The key's time to live is the only deadline: a record that
//! is being processed is kept for `lease + ttl` after its owner's last heartbeat, so *the key's
//! time to live, less the ttl, is what is left of the lease*, by the server's clock. No client's
//! clock is used. A change of the server's clock affects only the time that is shown for a result.
//! A record that will be parked when its owner dies is kept for 1000 years more, and a parked one
//! has no expiry.
//!
//! | verb | commands | decided by |
//! |---|---|---|
//! | claim of a free key | `SET key record NX GET PX` | the server: nothing was there |
//! | claim of a finished key, or with other arguments | the same one, which returns what is there | this process, from the record |
//! | claim that meets another owner at work, or a released key | and `EVALSHA` | `claim.lua`: lease live, over and to be retried, over and to be parked; the next fence |
//! | renew, a batch as one pipeline | `EVALSHA` each | `renew.lua`: still the owner? |
//! | complete, several at the same time as one command | `EVALSHA` | `complete.lua`: still the owner? then write, and wake the waiters |
//! | release | `EVALSHA` | `release.lua`: still the owner? then keep the fence for the ttl, and wake the waiters |
//! | load, scan | `EVALSHA` | `load.lua`: record, time left and time of one moment |
//!
//! So a fresh call is two commands at most and a replay is one. Where many calls are under way,
//! commands go as pipelines, and completions share a call of their script (`sender.rs`); each is
//! decided by itself all the same.
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
//! | the reply to a renewal is lost | renewing twice is renewing later |
//! | the reply to a release is lost | the second one finds the key released by itself and is done, or finds somebody else and changes nothing |
//! | an owner comes late, after a takeover | its id is not in the record any more: lease lost, nothing changes |
//! | the server's clock jumps forward | leases and retentions end early, as they do for every key with an expiry; the fence and the owner id still refuse the late owner's writes |
//! | the server's clock jumps back | leases and retentions last longer |
//! | the user lacks a right that a later verb needs | no connection is made: a [`Configuration`](super::StorageErrorKind::Configuration) error names it (`rights.rs`) |
//! | the server does not know a script (restart, failover, `SCRIPT FLUSH`) | the call is repeated with the script's text; nobody notices |
//! | the connection breaks or no longer answers | requests under way fail as [`Indeterminate`](super::StorageErrorKind::Indeterminate), the next one connects anew |
//! | the server is demoted to a replica | `READONLY` is [`NotApplied`](super::StorageErrorKind::NotApplied); the next request asks the sentinels, or the name service, for the new one |
//! | memory is full, under `noeviction` | claims and results are refused, renewals and releases go on |
//! | a message is lost, or the mark that asks for it with a failover | its waiter finds the result at its next poll |
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
