//! What the keeper costs a short call: calls beside one whose lease is renewed all the time, and calls while no lease is due for hours.

use std::time::Duration;

use idempotency::storage::MemoryStorage;
use idempotency::{Error, Idempotency};
use tokio::runtime::Runtime;

use crate::contest::Comparison;
use crate::load::{Sample, drive};
use crate::payload::{Pool, charge};
use crate::report::Row;
use crate::sampling::{Sampling, Subject};

/// Renewed every 10 ms.
const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn on_memory(sampling: &mut Sampling<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for callers in [1, 64] {
        let mut subjects = [calls_beside_a_lease_of(SHORT), calls_beside_a_lease_of(LONG)];
        let samples = sampling.contest("memory", "heartbeats", callers, &mut subjects);
        let comparison = Comparison {
            scenario: "fresh, heartbeats every 10 ms",
            subject: 0,
            limit: 1,
            limit_is: "no heartbeat due",
            at_least: Some(0.97),
        };
        rows.push(comparison.row("memory", callers, &samples));
    }
    rows
}

fn calls_beside_a_lease_of<'a>(lease: Duration) -> Subject<'a> {
    let mut pool = Pool::default();
    Box::new(move |runtime: &Runtime, callers, calls| {
        // The settings are valid.
        let Ok(idem) = Idempotency::builder(MemoryStorage::new()).lease(LONG).ttl(LONG).build()
        else {
            return Sample::default();
        };
        let pool = pool.of(calls);
        let long_call = idem.operation("long").key("long").lease(lease);
        let long_call = runtime.spawn(long_call.run(std::future::pending::<Result<(), Error>>()));
        let sample = runtime.block_on(drive(callers, calls, |mut turns| {
            let (idem, pool) = (idem.clone(), pool.clone());
            async move {
                while let Some(number) = turns.next() {
                    turns.check(charge(&idem, pool.get(number)).await);
                }
                turns
            }
        }));
        long_call.abort();
        sample
    })
}
