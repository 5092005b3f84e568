//! Records in Redis or Valkey, version 7.0 or later: one server, a primary behind Sentinel, or a Cluster.
//!
//! ```no_run
//! # use idem_runtime as idempotency;
//! # async fn example() -> Result<(), idem_runtime::storage::StorageError> {
//! use idempotency::storage::RedisStorage;
//!
//! let storage = RedisStorage::connect("redis://:password@127.0.0.1:6379/0").await?;
//! for warning in storage.warnings() {
//!     println!("this server may forget what has run: {warning}");
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
//! `valkey` may stand for `redis`. Characters of a password that mean something in a URL are percent-encoded.
//!
//! TLS is rustls'. The application installs its crypto provider. The servers' certificates are checked, with their host names, against the
//! authorities that the system trusts or that the environment variable `SSL_CERT_FILE` names, or those given to
//! `RedisBuilder::tls_ca`; a certificate for servers that ask for one goes to `RedisBuilder::tls_identity`. A certificate that is not accepted,
//! on either side, is a [`Configuration`](super::StorageErrorKind::Configuration) error.
//!
//! # How keys are named
//!
//! `idem:{}default::template:payment:(42)` is the prefix (`idem:`), `{}`, and the [record's name](crate::key::RecordKey). The channel on which the
//! waiters of a record are woken has the same name.
//!
//! In a cluster the text between the first braces of a name chooses its slot; where there is none, the whole name does. With the `{}` in front,
//! braces in a key or a tenant have no meaning, and the records of one client spread over all nodes. A prefix has no braces: it ends
//! where the first one is, so storages with different prefixes never share a key.
//!
//! # How a record is stored
//!
//! One key per record, so that a record is on one node of a cluster. Its value is a header at fixed
//! offsets and the result (`wire.rs`). How long the key has left to live is the only deadline: a record at work is kept for `lease + ttl`
//! after its owner's last sign of life, so *what its key has left, less the ttl, is what is left of the lease*, by the server's clock. No
//! client's clock is ever asked, and nothing is stored that a clock set anew would make wrong but the time that is shown for a result. A
//! record that is to be parked when its owner dies is kept for 1000 years more, and one that is parked has no expiry at all.
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
//! So a fresh call is two commands at most and a replay is one. Where many calls are under way, commands go as pipelines, and completions
//! share a call of their script (`batch.rs`); each is decided by itself all the same.
//!
//! # Connections
//!
//! Each runtime that makes calls has two connections of its own (`senders.rs`): the commands for one key go over the same, and none
//! crosses a thread. A runtime that stands still holds up nobody else's calls. Heartbeats, writes whose caller has gone away, and whatever is asked without
//! a runtime go over one more, on a thread of the library's own; another one there hears of wake-ups while somebody waits. So a
//! process with one runtime has three connections, or four. In a cluster each is one for each node, and a runtime has one and not two.
//!
//! Messages go only to those who wait: a claim that meets another owner at work marks the record as waited for, and the end of a record
//! that is not marked is not published. The mark stays through renewals and takeovers. A waiter subscribes first and claims then, so
//! either that claim finds the end, or the end finds the mark.
//!
//! The scripts restate the table of [`storage::transition`](crate::storage::transition) and are tested against it with random histories.
//!
//! Leases and ttls are whole milliseconds and at most a century; a retention of zero is one millisecond.
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
//! Redis acknowledges a write before it is safe. A record that is lost is an operation that can run again:
//!
//! - at a **failover**, of Sentinel or Cluster alike, what the old primary had acknowledged and not yet replicated;
//! - at a **crash**, what was not yet on disk: up to a second with `appendfsync everysec`, everything since the last snapshot with snapshots
//!   alone, everything without either; nothing with `appendonly yes` and `appendfsync always`;
//! - by **eviction**, under any `maxmemory-policy` but `noeviction`;
//! - by hand: `FLUSHALL`, `DEL`.
//!
//! A server without persistence or with an eviction policy is reported when it is connected to: [`RedisStorage::warnings`]. A fence starts
//! again at 1 when the record is lost or deleted; the owner id, which every write compares, does not repeat.

mod address;
mod batch;
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
mod senders;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
#[cfg(not(feature = "redis-sentinel"))]
#[path = "without_sentinel.rs"]
mod sentinel;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(not(feature = "redis-tls"))]
#[path = "without_tls.rs"]
mod tls;
mod transport;
mod watch;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

pub use self::check::Warning;
pub use self::commands::{Commands, Refusal};
use self::completion::Completion;
pub use self::connect::RedisBuilder;
use self::error::Fault;
use self::names::Names;
use self::script::Lua;
use self::senders::Senders;
use self::transport::Transport;
use self::watch::Wakeups;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub use self::wire::fuzzing;
use self::wire::{Stored, StoredState};
use super::{
    Claim, Claimed, Complete, Cursor, Lost, Page, Release, Renew, Storage, StorageError,
    StorageWarning, Wakeup, Written,
};
use crate::key::RecordKey;
use crate::record::{Fence, OwnerId, Record, Timestamp};

/// Records in Redis or Valkey. Clones share its connections. See the [module](self).
#[derive(Clone)]
pub struct RedisStorage(Arc<Inner>);

struct Inner {
    senders: Senders,
    wakeups: Wakeups,
    names: Names,
    /// The address without its password, for errors.
    server: String,
    warnings: Vec<Warning>,
}

impl RedisStorage {
    /// Settings of the server under which it loses records, as they were when it was connected to. They have been logged then.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// Looks at every primary again, for settings under which it loses records: see [`Warning`].
    ///
    /// # Errors
    ///
    /// Those of a server that cannot be reached.
    pub async fn check(&self) -> Result<Vec<Warning>, StorageError> {
        check::check(self.transport(), &self.0.server, self.0.names.prefix()).await
    }

    fn transport(&self) -> &dyn Transport {
        self.0.senders.library().transport()
    }

    fn redis_key(&self, key: &RecordKey) -> String {
        self.0.names.of(key)
    }

    fn explain(&self, fault: Fault) -> StorageError {
        fault.explain(&self.0.server)
    }

    /// Asks the script what to do about another owner's record.
    async fn contend(&self, key: &str, claim: &Claim) -> Result<Claimed, StorageError> {
        let fresh = wire::encode_claim(claim);
        let retention = wire::retention_millis(claim).to_string();
        let args: [&[u8]; 2] = [&fresh, retention.as_bytes()];
        let reply = self.0.senders.of(&claim.key).eval(Lua::Claim, key, &args).await;
        match reply.map_err(|fault| self.explain(fault))? {
            Value::Int(number) => {
                Ok(Claimed::InProgress { lease_left: Duration::from_millis(number.unsigned_abs()) })
            }
            Value::Array(parked) => match <[Value; 1]>::try_from(parked) {
                Ok([Value::BulkString(bytes)]) => match Stored::decode(bytes)?.state {
                    StoredState::Finished(finished) => Ok(Claimed::Parked(finished)),
                    _ => Err(wire::corrupt()),
                },
                _ => Err(wire::corrupt()),
            },
            Value::BulkString(bytes) => {
                decided(Stored::decode(bytes)?, claim).ok_or_else(wire::corrupt)
            }
            _ => Err(wire::corrupt()),
        }
    }

    async fn load_record(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let reply = self.0.senders.of(key).eval(Lua::Load, &self.redis_key(key), &[]).await;
        let reply = reply.map_err(|fault| self.explain(fault))?;
        if reply == Value::Nil {
            return Ok(None);
        }
        let (bytes, left, now): (Vec<u8>, i64, u64) =
            redis::from_redis_value(reply).map_err(|_| wire::corrupt())?;
        let left = u64::try_from(left).unwrap_or(0);
        Ok(Some(Stored::decode(bytes)?.into_record(left, Timestamp::from_millis(now))))
    }

    /// What a script's reply to an owner's write means.
    fn written(&self, reply: Result<Value, Fault>) -> Result<Written, StorageError> {
        Ok(match reply.map_err(|fault| self.explain(fault))? {
            Value::Int(1) => Written::Done,
            Value::Nil => Written::LeaseLost(Lost::Gone),
            Value::BulkString(bytes) => match Stored::decode(bytes)?.state {
                StoredState::Processing { .. } => Written::LeaseLost(Lost::TakenOver),
                StoredState::Released => Written::LeaseLost(Lost::Gone),
                StoredState::Finished(finished) => Written::LeaseLost(Lost::Finished(finished)),
            },
            _ => return Err(wire::corrupt()),
        })
    }
}

/// What a claim gets from a record as it is; `None` where the script has to decide: another owner is at work, or none since a release.
fn decided(stored: Stored, claim: &Claim) -> Option<Claimed> {
    if stored.fingerprint != claim.fingerprint {
        return Some(Claimed::Mismatch);
    }
    match stored.state {
        StoredState::Finished(finished) => Some(Claimed::Replay(finished)),
        StoredState::Processing { recovered, .. } if stored.owner == claim.owner => {
            Some(Claimed::Acquired { fence: stored.fence, recovered })
        }
        StoredState::Processing { .. } | StoredState::Released => None,
    }
}

impl Storage for RedisStorage {
    fn backend(&self) -> &'static str {
        "redis"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        let key = self.redis_key(&claim.key);
        let mut cmd = Cmd::with_capacity(7, key.len() + 128);
        cmd.arg("SET").arg(&key).arg(&wire::encode_claim(claim)[..]);
        cmd.arg("NX").arg("GET").arg("PX").arg(wire::retention_millis(claim));
        let reply = self.0.senders.of(&claim.key).send(cmd).await;
        match reply.map_err(|fault| self.explain(fault))? {
            Value::Nil => Ok(Claimed::Acquired { fence: Fence::FIRST, recovered: false }),
            Value::BulkString(bytes) => match decided(Stored::decode(bytes)?, claim) {
                Some(claimed) => Ok(claimed),
                None => self.contend(&key, claim).await,
            },
            _ => Err(wire::corrupt()),
        }
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        let prefixes: Vec<_> =
            renewals.iter().map(|renew| wire::owner_prefix(renew.owner)).collect();
        let calls: Vec<(String, &[u8])> = renewals
            .iter()
            .zip(&prefixes)
            .map(|(renew, prefix)| (self.redis_key(&renew.key), &prefix[..]))
            .collect();
        let replies = self.0.senders.any().eval_all(Lua::Renew, &calls).await;
        replies.into_iter().map(|reply| self.written(reply)).collect()
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let completion = Completion::new(self.redis_key(&complete.key), complete);
        let reply = self.0.senders.of(&complete.key).complete(completion).await;
        if let Ok(Value::BulkString(bytes)) = &reply
            && is_of(bytes, complete.owner)
            && let StoredState::Finished(finished) = Stored::decode(bytes.clone())?.state
            && finished.finish == complete.finish
        {
            return Ok(Written::Done);
        }
        self.written(reply)
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let prefix = wire::owner_prefix(release.owner);
        let key = self.redis_key(&release.key);
        let reply = self.0.senders.of(&release.key).eval(Lua::Release, &key, &[&prefix]).await;
        self.written(reply)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.load_record(key).await
    }

    async fn purge(&self, _limit: usize) -> Result<u64, StorageError> {
        Ok(0)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.scan_page(after, limit).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.0.wakeups.watch(key).await.map_err(|fault| self.explain(fault))
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        Ok(self.check().await?.iter().map(StorageWarning::from).collect())
    }
}

fn is_of(bytes: &[u8], owner: OwnerId) -> bool {
    bytes.starts_with(&wire::owner_prefix(owner))
}

impl fmt::Debug for RedisStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStorage")
            .field("server", &self.0.server)
            .field("names", &self.0.names)
            .field("warnings", &self.0.warnings)
            .finish_non_exhaustive()
    }
}
