//! A service that handles each event once, however often it is delivered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use idempotency::outbox::{Event, OutboxError};
use idempotency::sqlx::SqlitePool;
use idempotency::storage::SqliteStorage;
use idempotency::{Disposition, Idempotency, idempotent};

use crate::broker::Broker;
use crate::say;
use crate::shop::OrderChanged;

pub(crate) struct Warehouse {
    idem: Idempotency,
    packed: Mutex<Packed>,
    /// The next order jams the belt.
    jammed: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error("the belt is jammed")]
    Jammed,
    #[error(transparent)]
    Malformed(#[from] OutboxError),
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl PackError {
    /// The reply to the broker.
    fn disposition(&self) -> Disposition {
        match self {
            Self::Jammed => Disposition::Redeliver { after: None },
            Self::Malformed(_) => Disposition::DeadLetter,
            Self::Idempotency(error) => error.disposition(),
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self.disposition(), Disposition::Redeliver { .. })
    }
}

/// The effect that must not happen twice: the versions of each order that were packed.
type Packed = BTreeMap<String, Vec<u32>>;

impl Warehouse {
    pub(crate) async fn open(pool: SqlitePool) -> anyhow::Result<Self> {
        let records = SqliteStorage::new(pool);
        records.migrate().await?;
        let idem = Idempotency::builder(records).namespace("warehouse").build()?;
        Ok(Self { idem, packed: Mutex::default(), jammed: AtomicBool::new(false) })
    }

    /// Handles what is waiting in the stream, and returns how many deliveries that were.
    pub(crate) async fn work(&self, broker: &Broker) -> anyhow::Result<usize> {
        broker.deliver(async |event| self.handle(event).await).await
    }

    async fn handle(&self, event: Event) -> Disposition {
        let Err(error) = self.on_event(event).await else { return Disposition::Acknowledge };
        say(&format!("not packed: {error}"));
        error.disposition()
    }

    /// This is enough: the event's id is the same in every delivery, and a retryable error frees
    /// the key for the next one.
    #[idempotent(
        name = "warehouse",
        key = "warehouse:{event.id}",
        ttl = "7d",
        retry_if = PackError::is_retryable,
        with = self.idem,
    )]
    async fn on_event(&self, event: Event) -> Result<(), PackError> {
        if self.jammed.swap(false, Ordering::Relaxed) {
            return Err(PackError::Jammed);
        }
        let order: OrderChanged = event.json()?;
        say(&format!("packed {}, version {} of order {}", order.goods, order.version, event.key));
        self.packed().entry(event.key).or_default().push(order.version);
        Ok(())
    }

    /// The next order cannot be packed at the first try.
    pub(crate) fn jam(&self) {
        self.jammed.store(true, Ordering::Relaxed);
    }

    /// Fails unless every version of an order up to this one was packed once, in order.
    pub(crate) fn has_packed(&self, order: &str, last: u32) -> anyhow::Result<()> {
        let packed = self.packed().get(order).cloned().unwrap_or_default();
        anyhow::ensure!(packed.iter().copied().eq(1..=last), "order {order}: packed {packed:?}");
        Ok(())
    }

    fn packed(&self) -> MutexGuard<'_, Packed> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
