//! Leases are kept up while bodies run.

use std::time::Duration;

use idem_shuttle::internal::time::{Instant, sleep};
use shuttle_tokio::spawn;

use crate::explore::{Scenario, Time, holds};
use crate::ledger::{Ledger, PATIENCE, process};
use crate::storage::storage;

const SHORT: Duration = Duration::from_millis(300);

/// A body that takes several leases keeps its key, although somebody elsewhere waits for it.
pub(crate) const LONG_BODY: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, storage) = (Instant::now(), Ledger::default(), storage());
            let [here, elsewhere] = [process(&storage), process(&storage)];
            let call = |idem: &idem_shuttle::Idempotency| {
                let operation = idem.operation("pay").key("k").lease(SHORT).wait(PATIENCE);
                let ledger = ledger.clone();
                spawn(async move { operation.run(ledger.body_for(SHORT * 3)).await })
            };
            let (one, other) = (call(&here), call(&elsewhere));
            assert_eq!(one.await.unwrap().unwrap(), 1);
            assert_eq!(other.await.unwrap().unwrap(), 1, "G2");
            assert_eq!(begun.elapsed(), SHORT * 3, "the waiter was not woken");
        })
    },
};

/// A lease that is shorter than the one for which the keeper sleeps is kept up as well.
pub(crate) const SHORTER_LEASE: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (ledger, storage) = (Ledger::default(), storage());
            let [here, elsewhere] = [process(&storage), process(&storage)];
            let long = here.operation("pay").key("long");
            let long = spawn(long.run(async {
                sleep(SHORT * 6).await;
                Ok::<_, idem_shuttle::Error>(())
            }));
            sleep(SHORT).await;
            let call = |idem: &idem_shuttle::Idempotency| {
                let operation = idem.operation("pay").key("short").lease(SHORT).wait(PATIENCE);
                let ledger = ledger.clone();
                spawn(async move { operation.run(ledger.body_for(SHORT * 3)).await })
            };
            let (one, other) = (call(&here), call(&elsewhere));
            assert_eq!(one.await.unwrap().unwrap(), 1);
            assert_eq!(other.await.unwrap().unwrap(), 1, "G2");
            long.await.unwrap().unwrap();
        })
    },
};

#[test]
fn a_body_of_several_leases_keeps_its_key() {
    holds(&LONG_BODY);
}

#[test]
fn a_shorter_lease_is_kept_up_too() {
    holds(&SHORTER_LEASE);
}
