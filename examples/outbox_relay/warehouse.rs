//! A service that handles each event once, however often it is delivered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use idempotency::outbox::Event;
use idempotency::sqlx::SqlitePool;
use idempotency::storage::SqliteStorage;
use idempotency::{Idempotency, idempotent};

use crate::broker::Broker;
use crate::say;
use crate::shop::OrderChanged;

pub(crate) struct Warehouse {
    idem: Idempotency,
    packed: Mutex<Packed>,
}

/// The effect that must not happen twice: the versions of each order that were packed.
type Packed = BTreeMap<String, Vec<u32>>;

impl Warehouse {
    pub(crate) async fn open(pool: SqlitePool) -> anyhow::Result<Self> {
        let records = SqliteStorage::new(pool);
        records.migrate().await?;
        let idem = Idempotency::builder(records).namespace("warehouse").build()?;
        Ok(Self { idem, packed: Mutex::default() })
    }

    /// Handles what is waiting in the stream, and returns how many deliveries that were.
    pub(crate) async fn work(&self, broker: &Broker) -> anyhow::Result<usize> {
        broker.deliver(async |event| self.on_event(event).await).await
    }

    /// All that it takes: the event's id is the same in every delivery.
    #[idempotent(key = "event:{event.id}", ttl = "7d", with = self.idem)]
    async fn on_event(&self, event: Event) -> anyhow::Result<()> {
        let order: OrderChanged = event.json()?;
        say(&format!("packed {}, version {} of order {}", order.goods, order.version, event.key));
        self.packed().entry(event.key).or_default().push(order.version);
        Ok(())
    }

    /// Stops the story unless every version of an order up to this one was packed once, in their order.
    pub(crate) fn has_packed(&self, order: &str, last: u32) -> anyhow::Result<()> {
        let packed = self.packed().get(order).cloned().unwrap_or_default();
        anyhow::ensure!(packed.iter().copied().eq(1..=last), "order {order}: packed {packed:?}");
        Ok(())
    }

    fn packed(&self) -> MutexGuard<'_, Packed> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
