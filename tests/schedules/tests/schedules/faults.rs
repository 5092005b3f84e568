//! A storage that fails, and a machine so slow that leases run out.

use std::time::Duration;

use idem_shuttle::internal::time::sleep;
use idem_shuttle::testing::FaultyStorage;
use idem_shuttle::{Error, ErrorKind, Idempotency, Outcome, Source};
use shuttle::rand::{Rng, thread_rng};
use shuttle_tokio::spawn;

use crate::attach::pass_some_time;
use crate::explore::{Scenario, Time, holds};
use crate::ledger::{LEASE, Ledger, PATIENCE, patient, process};
use crate::storage::storage;

/// Requests and replies are lost, and somebody goes away: there is one result all the same, and no two bodies at once (G1, G2, G10).
pub(crate) const LOST_MESSAGES: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (ledger, storage) = (Ledger::default(), FaultyStorage::new(storage()));
            storage.faults().random(thread_rng().r#gen(), 0.3);
            let processes = [process(&storage), process(&storage)];
            let call = |number: usize| {
                let (ledger, operation) = (ledger.clone(), patient(&processes[number % 2]));
                spawn(async move { operation.run_with_outcome(ledger.body()).await })
            };
            let (gone, others) = (call(0), [call(1), call(2)]);
            pass_some_time().await;
            gone.abort();
            let mut told = Vec::new();
            told.extend(gone.await.ok());
            for other in others {
                told.push(other.await.unwrap());
            }
            agree(&told);
            storage.faults().clear();
            // What is still being written has an end.
            sleep(LEASE * 2).await;
            assert!(processes.iter().all(|process| process.in_flight() == 0));
        })
    },
};

/// Nobody is told of two recorded results.
fn agree(told: &[Result<Outcome<u64>, Error>]) {
    let recorded = |told: &Result<Outcome<u64>, Error>| match told {
        Ok(Outcome { source: Source::Unrecorded, .. }) => None,
        Ok(outcome) => Some(outcome.value),
        Err(error) => {
            let kinds = [ErrorKind::Storage, ErrorKind::LeaseLost, ErrorKind::AlreadyProcessing];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            None
        }
    };
    let values: Vec<u64> = told.iter().filter_map(recorded).collect();
    assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "G1: {told:?}");
    let ran = |told: &&Result<Outcome<u64>, Error>| {
        matches!(told, Ok(Outcome { source: Source::Executed { .. }, .. }))
    };
    assert!(told.iter().filter(ran).count() <= 1, "G1: {told:?}");
}

/// Leases run out because the machine is slow: whoever was overtaken has no result of its own (G3).
pub(crate) const SLOW_MACHINE: Scenario = Scenario {
    time: Time::Leaping,
    run: || {
        Box::pin(async {
            const SHORT: Duration = Duration::from_millis(30);
            let storage = storage();
            let processes = [process(&storage), process(&storage)];
            let call = |idem: &Idempotency, number: u64| {
                let operation = idem.operation("pay").key("k").lease(SHORT).wait(PATIENCE);
                spawn(operation.run_with_outcome(async move {
                    sleep(SHORT).await;
                    pass_some_time().await;
                    Ok::<_, Error>(number)
                }))
            };
            let calls = [call(&processes[0], 1), call(&processes[1], 2), call(&processes[0], 3)];
            let mut told = Vec::new();
            for call in calls {
                told.push(call.await.unwrap());
            }
            agree(&told);
            sleep(PATIENCE).await;
            assert!(processes.iter().all(|process| process.in_flight() == 0));
        })
    },
};

#[test]
fn lost_messages_make_no_second_result() {
    holds(&LOST_MESSAGES);
}

#[test]
fn leases_that_run_out_make_no_second_result() {
    holds(&SLOW_MACHINE);
}
