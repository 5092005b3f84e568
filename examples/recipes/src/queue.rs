//! A consumer of a queue: each message takes effect once, however often it is delivered.

use std::io::BufRead;

use idempotency::{Disposition, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

use crate::world::World;

#[derive(Deserialize, Serialize)]
struct Order {
    id: u64,
    cents: i64,
}

#[derive(Debug, thiserror::Error)]
enum BillingError {
    #[error("the ledger does not answer")]
    Unavailable(#[from] std::io::Error), // retryable
    #[error("nobody can be billed {0} cents")]
    Amount(i64), // permanent
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl BillingError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable(_) => Disposition::Redeliver { after: None },
            Self::Amount(_) => Disposition::DeadLetter,
            Self::Idempotency(error) => error.disposition(),
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self.disposition(), Disposition::Redeliver { .. })
    }
}

/// `name` keeps the keys when the function is renamed. `retry_if` is what the default is not: with it an error that passes by itself frees the key,
/// and the next delivery runs again. That is right where the ledger knows the key, or where the error says that nothing was done: of a
/// timeout nobody knows.
#[idempotent(
    name = "billing",
    key = "billing:{order.id}",
    ttl = "7d",            // longer than anything is redelivered
    retry_if = BillingError::is_retryable,
    with = idem,
    skip(idem, world),
)]
async fn bill(idem: &Idempotency, world: &World, order: &Order) -> Result<(), BillingError> {
    if order.cents <= 0 {
        return Err(BillingError::Amount(order.cents));
    }
    let key = format!("billing-{}", order.id);
    Ok(world.do_once(&key, &format!("billed {} {}", order.id, order.cents))?)
}

/// What the broker is told: `XACK`, `basic.ack` or `DeleteMessage` for `ack`; nothing, `nack` or a visibility timeout for `again`; for `aside` the message
/// goes to where a person reads it, and is acknowledged.
async fn deliver(idem: &Idempotency, world: &World, message: &str) -> &'static str {
    let Ok(order) = serde_json::from_str::<Order>(message) else { return "aside" };
    let Err(error) = bill(idem, world, &order).await else { return "ack" };
    match error.disposition() {
        Disposition::Acknowledge => "ack",
        Disposition::DeadLetter => "aside",
        _ => "again",
    }
}

/// Here the queue is the standard input, with a message on each line.
pub(crate) async fn consume(idem: &Idempotency, world: &World) -> anyhow::Result<()> {
    for message in std::io::stdin().lock().lines() {
        println!("{}", deliver(idem, world, &message?).await);
    }
    Ok(())
}
