//! What a worker does with a delivery. It is the same in a process and in a task.

use std::sync::Arc;

use idempotency::policy::ReleaseErrors;
use idempotency::record::CrashPolicy;
use idempotency::{Error, ErrorKind, Idempotency, Outcome, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bank::Bank;
use crate::orders::Order;
use crate::{OnCrash, Setup};

/// An order on its way to a worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) number: usize,
    pub(crate) order: Arc<Order>,
}

/// What a worker says when it is done with a delivery.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) delivery: usize,
    pub(crate) result: Result<How, String>,
}

/// How a delivery was dealt with.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// The order was charged in this delivery.
    Executed,
    /// It had been charged in another delivery.
    Replayed,
    /// Its worker died half way, and a person has to look.
    Parked,
}

#[derive(Debug, thiserror::Error)]
enum ChargeError {
    #[error("the bank: {0}")]
    Bank(#[from] std::io::Error),
    #[error(transparent)]
    Idempotency(#[from] Error),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Receipt {
    order: String,
    amount: u64,
    currency: String,
}

/// A worker's own way to the storage.
pub(crate) async fn connect(setup: &Setup) -> Result<Idempotency, Error> {
    let builder = Idempotency::connect_builder(&setup.storage).await?;
    builder.namespace(format!("worker-{}", setup.run)).lease(setup.lease).build()
}

/// Charges an order once, however often it is delivered.
///
/// This is what `#[idempotent(name = "charge", key = "charge:{order.id}", wait = "60s", on_error = "release", on_crash = "retry")]` expands to, more
/// or less. It is spelt out because the example wants to know where the result came from, and chooses the crash policy when it is started.
/// Errors free the key: the bank's pass by themselves, and a stored one would refuse every redelivery.
async fn charge(
    idem: &Idempotency,
    on_crash: OnCrash,
    bank: &Bank,
    order: &Order,
) -> Result<Outcome<Receipt>, ChargeError> {
    idem.operation("charge")
        .key(format!("charge:{}", order.id))
        .fingerprint(order)
        .wait(std::time::Duration::from_secs(60))
        .errors(ReleaseErrors)
        .on_crash(match on_crash {
            OnCrash::Retry => CrashPolicy::Retry,
            OnCrash::Park => CrashPolicy::Park,
        })
        .run_with_outcome(async {
            let attempt = idempotency::current().map_or(0, |call| call.attempt());
            bank.charge(order, attempt).await?;
            let Order { id, amount, currency, .. } = order;
            Ok(Receipt { order: id.clone(), amount: *amount, currency: currency.clone() })
        })
        .await
}

/// Works until no more deliveries come. Dropping the future stops everything that is under way.
pub(crate) async fn work(
    idem: Idempotency,
    on_crash: OnCrash,
    bank: Bank,
    mut deliveries: mpsc::UnboundedReceiver<Delivery>,
    answers: mpsc::UnboundedSender<Answer>,
) {
    let bank = Arc::new(bank);
    let mut running = JoinSet::new();
    while let Some(Delivery { number, order }) = deliveries.recv().await {
        let (idem, bank, answers) = (idem.clone(), Arc::clone(&bank), answers.clone());
        running.spawn(async move {
            let result = how(charge(&idem, on_crash, &bank, &order).await);
            // Nobody listens any more when the example is about to end.
            let _ = answers.send(Answer { delivery: number, result });
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

fn how(outcome: Result<Outcome<Receipt>, ChargeError>) -> Result<How, String> {
    match outcome {
        Ok(outcome) => match outcome.source {
            Source::Executed { .. } => Ok(How::Executed),
            Source::Replayed { .. } => Ok(How::Replayed),
            other => Err(format!("charged, but {other:?}")),
        },
        Err(ChargeError::Idempotency(error)) if error.kind() == ErrorKind::Indeterminate => {
            Ok(How::Parked)
        }
        Err(error) => Err(error.to_string()),
    }
}
