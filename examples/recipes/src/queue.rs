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
    #[error("cannot bill {0} cents")]
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

/// `name` keeps the keys valid when the function is renamed. By default every error is stored; with
/// `retry_if` a retryable error frees the key, and the next delivery runs again. That is right if
/// the ledger deduplicates by the key, or if the error proves that nothing was done. After a
/// timeout the outcome is unknown.
#[idempotent(
    name = "billing",
    key = "billing:{order.id}",
    ttl = "7d",            // longer than any message can be redelivered
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

/// The reply to the broker. `ack`: `XACK`, `basic.ack` or `DeleteMessage`. `redeliver`: nothing,
/// `nack` or a visibility timeout. `dead-letter`: move the message to the dead letters, then
/// acknowledge it.
async fn deliver(idem: &Idempotency, world: &World, message: &str) -> &'static str {
    let Ok(order) = serde_json::from_str::<Order>(message) else { return "dead-letter" };
    let Err(error) = bill(idem, world, &order).await else { return "ack" };
    match error.disposition() {
        Disposition::Acknowledge => "ack",
        Disposition::DeadLetter => "dead-letter",
        _ => "redeliver",
    }
}

/// Here the queue is the standard input, with one message per line.
pub(crate) async fn consume(idem: &Idempotency, world: &World) -> anyhow::Result<()> {
    for message in std::io::stdin().lock().lines() {
        println!("{}", deliver(idem, world, &message?).await);
    }
    Ok(())
}
