//! The storage trait over Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::check::check;
use super::completion::Completion;
use super::error::CommandError;
use super::names::KeyNames;
use super::script::Lua;
use super::senders::Senders;
use super::transport::Transport;
use super::watch::RedisWakeups;
use super::wire::{self, StoredRecord, StoredState};
use crate::key::RecordKey;
use crate::record::{OwnerId, Record, Timestamp};
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Lost, Page, Release, Renew, Storage, StorageError,
    StorageWarning, Wakeup, Written,
};

/// Records in Redis or Valkey. Clones share its connections. See the [module](super).
#[derive(Clone)]
pub struct RedisStorage(pub(super) Arc<RedisCore>);

pub(super) struct RedisCore {
    pub(super) senders: Senders,
    pub(super) wakeups: RedisWakeups,
    pub(super) names: KeyNames,
    /// The address without its password, for errors.
    pub(super) server: String,
}

impl RedisStorage {
    pub(super) fn transport(&self) -> &dyn Transport {
        self.0.senders.library().transport()
    }

    pub(super) fn redis_key(&self, key: &RecordKey) -> String {
        self.0.names.of(key)
    }

    pub(super) fn error(&self, fault: CommandError) -> StorageError {
        fault.into_storage_error(&self.0.server)
    }

    /// Runs the claim script, which decides about another owner's record.
    async fn claim_contended(&self, key: &str, claim: &Claim) -> Result<Claimed, StorageError> {
        let fresh = wire::encode_claim(claim);
        let retention = wire::retention_millis(claim).to_string();
        let args: [&[u8]; 2] = [&fresh, retention.as_bytes()];
        let reply = self.0.senders.of(&claim.key).eval(Lua::Claim, key, &args).await;
        match reply.map_err(|fault| self.error(fault))? {
            Value::Int(number) => {
                Ok(Claimed::InProgress { lease_left: Duration::from_millis(number.unsigned_abs()) })
            }
            Value::Array(parked) => match <[Value; 1]>::try_from(parked) {
                Ok([Value::BulkString(bytes)]) => match StoredRecord::decode(bytes)?.state {
                    StoredState::Finished(finished) => Ok(Claimed::Parked(finished)),
                    _ => Err(wire::corrupt()),
                },
                _ => Err(wire::corrupt()),
            },
            Value::BulkString(bytes) => {
                decide(StoredRecord::decode(bytes)?, claim).ok_or_else(wire::corrupt)
            }
            _ => Err(wire::corrupt()),
        }
    }

    /// Decodes a script's reply to an owner's write.
    fn written(&self, reply: Result<Value, CommandError>) -> Result<Written, StorageError> {
        Ok(match reply.map_err(|fault| self.error(fault))? {
            Value::Int(1) => Written::Done,
            Value::Nil => Written::LeaseLost(Lost::Gone),
            Value::BulkString(bytes) => match StoredRecord::decode(bytes)?.state {
                StoredState::Processing { .. } => Written::LeaseLost(Lost::TakenOver),
                StoredState::Released => Written::LeaseLost(Lost::Gone),
                StoredState::Finished(finished) => Written::LeaseLost(Lost::Finished(finished)),
            },
            _ => return Err(wire::corrupt()),
        })
    }
}

/// The answer to a claim from the existing record; `None` where the script decides: another owner
/// is processing, or the key was released.
fn decide(stored: StoredRecord, claim: &Claim) -> Option<Claimed> {
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
        match reply.map_err(|fault| self.error(fault))? {
            Value::Nil => Ok(Claimed::FIRST),
            Value::BulkString(bytes) => match decide(StoredRecord::decode(bytes)?, claim) {
                Some(claimed) => Ok(claimed),
                None => self.claim_contended(&key, claim).await,
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
            && is_owned_by(bytes, complete.owner)
            && let StoredState::Finished(finished) = StoredRecord::decode(bytes.clone())?.state
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
        let reply = self.0.senders.of(key).eval(Lua::Load, &self.redis_key(key), &[]).await;
        let reply = reply.map_err(|fault| self.error(fault))?;
        if reply == Value::Nil {
            return Ok(None);
        }
        let (bytes, left, now): (Vec<u8>, i64, u64) =
            redis::from_redis_value(reply).map_err(|_| wire::corrupt())?;
        let left = u64::try_from(left).unwrap_or(0);
        Ok(Some(StoredRecord::decode(bytes)?.into_record(left, Timestamp::from_millis(now))))
    }

    async fn purge(&self, _limit: usize) -> Result<u64, StorageError> {
        Ok(0)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.scan_page(after, limit).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.0.wakeups.watch(key).await.map_err(|fault| self.error(fault))
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        check(self.transport(), &self.0.server, self.0.names.prefix()).await
    }
}

fn is_owned_by(bytes: &[u8], owner: OwnerId) -> bool {
    bytes.starts_with(&wire::owner_prefix(owner))
}

impl fmt::Debug for RedisStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStorage")
            .field("server", &self.0.server)
            .field("names", &self.0.names)
            .finish_non_exhaustive()
    }
}
