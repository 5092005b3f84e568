//! A broker in memory, that takes what it is given unless it is told otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use idempotency::outbox::{Event, EventId, PublishError, Publisher};
use parking_lot::Mutex;
use testkit::wait;

use crate::stage::{Gate, PATIENCE};

type Decide = dyn Fn(&Event, usize) -> Result<(), PublishError> + Send + Sync;

/// Every clone is the same broker.
#[derive(Clone)]
pub(crate) struct Recorder {
    taken: Arc<Mutex<Vec<Event>>>,
    tried: Arc<Mutex<BTreeMap<EventId, usize>>>,
    decide: Arc<Decide>,
}

impl Recorder {
    /// A broker that takes everything.
    pub(crate) fn new() -> Self {
        Self::that(|_, _| Ok(()))
    }

    /// A broker that answers as `decide` says, which is told the event and how often it has been tried before.
    pub(crate) fn that(
        decide: impl Fn(&Event, usize) -> Result<(), PublishError> + Send + Sync + 'static,
    ) -> Self {
        Self { taken: Arc::default(), tried: Arc::default(), decide: Arc::new(decide) }
    }

    /// What was published, in its order.
    pub(crate) fn taken(&self) -> Vec<Event> {
        self.taken.lock().clone()
    }

    /// The numbers of [`Stage::enqueue`](super::stage::Stage::enqueue), in the order in which they were published, for a key.
    pub(crate) fn numbers(&self, key: &str) -> Vec<usize> {
        let taken = self.taken.lock();
        taken.iter().filter(|event| event.key == key).map(|event| event.json().unwrap()).collect()
    }

    /// How often an event was tried.
    pub(crate) fn tries(&self, id: EventId) -> usize {
        self.tried.lock().get(&id).copied().unwrap_or(0)
    }

    /// Waits until so many events were published.
    pub(crate) async fn until(&self, count: usize) {
        let what = format!("{count} events are published");
        wait::until_async(&what, PATIENCE, || self.taken.lock().len() >= count).await;
    }
}

impl Publisher for Recorder {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        // Another event may be published meanwhile.
        tokio::task::yield_now().await;
        let tried = {
            let mut tried = self.tried.lock();
            let count = tried.entry(event.id).or_default();
            *count += 1;
            *count - 1
        };
        (self.decide)(event, tried)?;
        self.taken.lock().push(event.clone());
        Ok(())
    }
}

/// Holds the event of one key back at a gate.
pub(crate) struct Gated {
    pub(crate) broker: Recorder,
    pub(crate) key: &'static str,
    pub(crate) gate: Gate,
}

impl Publisher for Gated {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        if event.key == self.key {
            self.gate.pass().await;
        }
        self.broker.publish(event).await
    }
}
