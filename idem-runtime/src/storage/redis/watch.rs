//! Wake-ups for waiters, through sharded pub/sub.
//!
//! The scripts that end an operation which a claim has met at work publish to the channel that is named like the record's key, so that in a
//! cluster message and record are on the same node and no other node hears of it. Subscriptions have a connection of their own, made at the first of them. A key is
//! subscribed to while somebody waits for it. When the connection is lost or the key moves to another node, whatever is still waited for is subscribed to
//! again, and its waiters are woken, for a message may have been missed.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use hashbrown::{DefaultHashBuilder, HashSet};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::runtime::Handle;

use super::error::Fault;
use super::transport::{Subscriber, Transport};
use crate::key::RecordKey;
use crate::storage::{Wakeup, Watchers};

const STRIPES: usize = 64;

/// The waiters of this process and their subscriptions.
#[derive(Clone)]
pub(super) struct Wakeups(Arc<Inner>);

struct Inner {
    prefix: Arc<str>,
    watchers: Watchers,
    connection: Box<dyn Transport>,
    /// Keys whose subscription the server has acknowledged.
    acknowledged: Mutex<HashSet<RecordKey>>,
    /// Whoever changes a key's subscription holds the lock that the key falls to, so that coming and going do not overtake each other.
    changing: [tokio::sync::Mutex<()>; STRIPES],
    hasher: DefaultHashBuilder,
    /// The server or this user has no sharded pub/sub: waiters poll.
    unavailable: AtomicBool,
}

impl Wakeups {
    pub(super) fn new(transport: &dyn Transport, prefix: Arc<str>) -> Self {
        Self(Arc::new_cyclic(|inner: &Weak<Inner>| {
            let left = inner.clone();
            let watchers = Watchers::new(move |key: &RecordKey| {
                // Without a runtime the subscription stays, and costs a message that nobody waits for.
                if let (Some(inner), Ok(runtime)) = (left.upgrade(), Handle::try_current()) {
                    let key = key.clone();
                    runtime.spawn(async move { inner.unsubscribe(&key).await });
                }
            });
            Inner {
                prefix,
                watchers,
                connection: transport.subscribed(Arc::new(Listener(inner.clone()))),
                acknowledged: Mutex::default(),
                changing: std::array::from_fn(|_| tokio::sync::Mutex::default()),
                hasher: DefaultHashBuilder::default(),
                unavailable: AtomicBool::new(false),
            }
        }))
    }

    /// Subscribes to a key; `None` where that is not to be had.
    pub(super) async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, Fault> {
        let inner = &self.0;
        if inner.unavailable.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (wakeup, _) = inner.watchers.subscribe(key);
        match inner.subscribe(key).await {
            Ok(_) => Ok(Some(wakeup)),
            Err(fault) if fault.is_refusal() => {
                inner.unavailable.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "redis refuses sharded pub/sub: waiters poll instead of being woken"
                );
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Inner {
    fn channel(&self, key: &RecordKey) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }

    fn changing(&self, key: &RecordKey) -> &tokio::sync::Mutex<()> {
        let hash = self.hasher.hash_one(key.as_str());
        &self.changing[usize::try_from(hash % STRIPES as u64).unwrap_or(0)]
    }

    fn begin_subscribing_again(self: Arc<Self>) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { self.subscribe_again().await });
        }
    }

    /// Returns when the server has acknowledged; says whether it had not done so before.
    async fn subscribe(&self, key: &RecordKey) -> Result<bool, Fault> {
        let _changing = self.changing(key).lock().await;
        if self.acknowledged.lock().contains(key) {
            return Ok(false);
        }
        let reply = self.connection.send(cmd("SSUBSCRIBE").arg(self.channel(key))).await?;
        reply.extract_error()?;
        self.acknowledged.lock().insert(key.clone());
        Ok(true)
    }

    async fn unsubscribe(&self, key: &RecordKey) {
        let _changing = self.changing(key).lock().await;
        if !self.watchers.is_watched(key) && self.acknowledged.lock().remove(key) {
            // If it fails, the connection is gone and the subscription with it.
            let _ = self.connection.send(cmd("SUNSUBSCRIBE").arg(self.channel(key))).await;
        }
    }

    /// Subscribes again to what somebody waits for, for as long as somebody does, and wakes them: a message may have been missed.
    async fn subscribe_again(&self) {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_secs(2))
            .without_max_times()
            .with_jitter();
        for pause in backoff.build() {
            let mut failed = false;
            for key in self.watchers.keys() {
                match self.subscribe(&key).await {
                    Ok(true) => self.watchers.wake(key.as_str()),
                    Ok(false) => {}
                    Err(_) => failed = true,
                }
            }
            if !failed {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Hears what the servers push. It must not keep the subscriptions alive, which own its connection.
struct Listener(Weak<Inner>);

impl Subscriber for Listener {
    fn pushed(&self, push: &PushInfo) {
        let Some(inner) = self.0.upgrade() else { return };
        let Some(Value::BulkString(channel)) = push.data.first() else { return };
        let Some(key) = channel.strip_prefix(inner.prefix.as_bytes()) else { return };
        let Ok(key) = std::str::from_utf8(key) else { return };
        match push.kind {
            PushKind::SMessage => inner.watchers.wake(key),
            // The client has subscribed anew by itself.
            PushKind::SSubscribe if inner.acknowledged.lock().contains(key) => {
                inner.watchers.wake(key);
            }
            // Unless nobody waits any more, the slot has moved to another node.
            PushKind::SUnsubscribe if inner.acknowledged.lock().remove(key) => {
                inner.begin_subscribing_again();
            }
            _ => {}
        }
    }

    fn lost(&self) {
        let Some(inner) = self.0.upgrade() else { return };
        inner.acknowledged.lock().clear();
        inner.begin_subscribing_again();
    }
}
