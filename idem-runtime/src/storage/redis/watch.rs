//! Wake-ups for waiters, through sharded pub/sub.
//!
//! The scripts publish an outcome that has waiters to the channel named like the record's key, so
//! that in a cluster message and record are on one node. Subscriptions have a connection of their
//! own, made for the first one. A key is subscribed to while it has waiters. When the connection is
//! lost or the key moves to another node, keys with waiters are subscribed to again, and the
//! waiters are woken, since a message may have been missed.
//!
//! The library's own thread subscribes and unsubscribes, so that a dropped waiter or runtime does
//! not interrupt it. A key counts as subscribed before the command is sent: the server may
//! subscribe even if its reply is lost.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, cmd};

use super::error::{CommandError, abandoned};
use super::names::KeyNames;
use super::transport::{Subscriber, Transport};
use crate::driver;
use crate::key::RecordKey;
use crate::storage::{Wakeup, Watchers};

const STRIPES: usize = 64;

/// The waiters of this process and their subscriptions.
#[derive(Clone)]
pub(super) struct RedisWakeups(Arc<Subscriptions>);

struct Subscriptions {
    names: KeyNames,
    watchers: Watchers,
    connection: Box<dyn Transport>,
    keys: Mutex<HashMap<RecordKey, Subscription>>,
    /// A change of a key's subscription holds the key's lock, so that subscribing and unsubscribing
    /// stay in order.
    changing: [tokio::sync::Mutex<()>; STRIPES],
    hasher: DefaultHashBuilder,
    /// The server or this user has no sharded pub/sub: waiters poll.
    unavailable: AtomicBool,
}

/// The state of a key's subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subscription {
    /// `SSUBSCRIBE` may have been sent.
    Asked,
    Acknowledged,
}

impl RedisWakeups {
    pub(super) fn new(transport: &dyn Transport, names: KeyNames, available: bool) -> Self {
        Self(Arc::new_cyclic(|inner: &Weak<Subscriptions>| {
            let left = inner.clone();
            let watchers = Watchers::new(move |key: &RecordKey| {
                if let Some(inner) = left.upgrade() {
                    let key = key.clone();
                    driver::spawn_anywhere(async move { inner.unsubscribe(&key).await });
                }
            });
            Subscriptions {
                names,
                watchers,
                connection: transport.for_subscriptions(Arc::new(Listener(inner.clone()))),
                keys: Mutex::default(),
                changing: std::array::from_fn(|_| tokio::sync::Mutex::default()),
                hasher: DefaultHashBuilder::default(),
                unavailable: AtomicBool::new(!available),
            }
        }))
    }

    /// Subscribes to a key; `None` where that is not to be had.
    pub(super) async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, CommandError> {
        let inner = &self.0;
        if inner.unavailable.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (wakeup, _) = inner.watchers.subscribe(key);
        let subscribing = {
            let (inner, key) = (Arc::clone(inner), key.clone());
            driver::spawn(async move { inner.subscribe(&key).await })
        };
        match subscribing.await.unwrap_or_else(|_| Err(CommandError::Sent(abandoned()))) {
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

impl Subscriptions {
    fn changing(&self, key: &RecordKey) -> &tokio::sync::Mutex<()> {
        let hash = self.hasher.hash_one(key.as_str());
        &self.changing[usize::try_from(hash % STRIPES as u64).unwrap_or(0)]
    }

    fn begin_subscribing_again(self: Arc<Self>) {
        driver::spawn_anywhere(async move { self.subscribe_again().await });
    }

    /// Returns when the server has acknowledged; says whether it had not done so before.
    async fn subscribe(&self, key: &RecordKey) -> Result<bool, CommandError> {
        let _changing = self.changing(key).lock().await;
        if self.is_acknowledged(key.as_str()) {
            return Ok(false);
        }
        // If its waiter was dropped meanwhile, nothing else unsubscribes.
        if !self.watchers.is_watched(key) {
            return Ok(false);
        }
        self.keys.lock().insert(key.clone(), Subscription::Asked);
        let reply = self.connection.send(cmd("SSUBSCRIBE").arg(self.names.of(key))).await;
        match reply.and_then(|reply| Ok(reply.extract_error()?)) {
            Ok(_) => {
                // It is not there any more where the connection has been lost since: then it will
                // be subscribed to again.
                if let Some(subscription) = self.keys.lock().get_mut(key) {
                    *subscription = Subscription::Acknowledged;
                }
                Ok(true)
            }
            Err(fault) => {
                if fault.is_refusal() || matches!(fault, CommandError::Unsent(_)) {
                    self.keys.lock().remove(key);
                }
                Err(fault)
            }
        }
    }

    fn is_acknowledged(&self, key: &str) -> bool {
        self.keys.lock().get(key) == Some(&Subscription::Acknowledged)
    }

    async fn unsubscribe(&self, key: &RecordKey) {
        let _changing = self.changing(key).lock().await;
        if !self.watchers.is_watched(key) && self.keys.lock().remove(key).is_some() {
            // If it fails, the connection is gone and the subscription with it.
            let _ = self.connection.send(cmd("SUNSUBSCRIBE").arg(self.names.of(key))).await;
        }
    }

    /// Subscribes to the keys with waiters until that succeeds, and wakes the waiters: a message
    /// may have been missed.
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
struct Listener(Weak<Subscriptions>);

impl Subscriber for Listener {
    fn pushed(&self, push: &PushInfo) {
        let Some(inner) = self.0.upgrade() else { return };
        let Some(Value::BulkString(channel)) = push.data.first() else { return };
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let Some(key) = inner.names.record(channel) else { return };
        match push.kind {
            PushKind::SMessage => inner.watchers.wake(key),
            // The client has subscribed anew by itself.
            PushKind::SSubscribe if inner.is_acknowledged(key) => {
                inner.watchers.wake(key);
            }
            // Unless nobody waits any more, the slot has moved to another node.
            PushKind::SUnsubscribe if inner.keys.lock().remove(key).is_some() => {
                inner.begin_subscribing_again();
            }
            _ => {}
        }
    }

    fn lost(&self) {
        let Some(inner) = self.0.upgrade() else { return };
        inner.keys.lock().clear();
        inner.begin_subscribing_again();
    }
}
