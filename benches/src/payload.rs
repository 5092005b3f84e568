//! The job that all subjects do: arguments of about 120 bytes, a result of about 256.

use std::sync::Arc;
use std::time::Duration;

use idempotency::{Error, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

/// How long results are kept, wherever that can be said.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Arguments {
    pub(crate) order: String,
    customer: String,
    amount: u64,
    currency: String,
    note: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Receipt {
    id: String,
    order: String,
    amount: u64,
    currency: String,
    bank: String,
    text: String,
}

impl Arguments {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            order: format!("SO-2026-{number:08}"),
            customer: format!("customer-{:06}", number % 999_983),
            amount: 1999 + number as u64 % 1000,
            currency: "EUR".to_owned(),
            note: "leave it with the neighbour".to_owned(),
        }
    }

    /// What the job does.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt {
            id: "rc_1NirD82eZvKYlo2CIvbtLWuY".to_owned(),
            order: self.order.clone(),
            amount: self.amount,
            currency: self.currency.clone(),
            bank: "DE89 3704 0044 0532 0130 00".to_owned(),
            text: "Thank you for your order. It is on its way, and we will write again when it has arrived.".to_owned(),
        }
    }

    /// The key of this job.
    pub(crate) fn key(&self) -> String {
        format!("payment:{}", self.order)
    }
}

/// The job behind the attribute.
#[idempotent(key = "payment:{arguments.order}", ttl = "1h", with = idem.clone(), skip(idem))]
pub(crate) async fn charge(idem: &Idempotency, arguments: &Arguments) -> Result<Receipt, Error> {
    Ok(arguments.receipt())
}

/// The same through the handle.
pub(crate) async fn charge_by_handle(
    idem: &Idempotency,
    arguments: &Arguments,
) -> Result<Receipt, Error> {
    let operation = idem.operation("charge").key(arguments.key()).ttl(TTL);
    operation.fingerprint(arguments).run(async { Ok(arguments.receipt()) }).await
}

/// Arguments made before the clock runs.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Vec<Arguments>>);

impl Pool {
    /// At least this many.
    pub(crate) fn of(&mut self, count: usize) -> Self {
        if self.0.len() < count {
            self.0 = Arc::new((0..count.next_power_of_two()).map(Arguments::new).collect());
        }
        self.clone()
    }

    /// So many from a number on.
    pub(crate) fn starting_at(first: usize, count: usize) -> Self {
        Self(Arc::new((first..first + count).map(Arguments::new).collect()))
    }

    /// Those of a call; they repeat when there are more calls.
    pub(crate) fn get(&self, number: usize) -> &Arguments {
        &self.0[number % self.0.len()]
    }
}
