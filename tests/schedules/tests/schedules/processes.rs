//! Callers of two processes, which hear of each other by the storage.

use idem_shuttle::internal::time::Instant;
use shuttle_tokio::spawn;

use crate::attach::pass_some_time;
use crate::call::Call;
use crate::explore::{Scenario, Time, holds};
use crate::ledger::{Ledger, at_once, patient, process};
use crate::storage::storage;

/// A waiter of another process is woken when the end is written, and so are those who have attached to it.
pub(crate) const WAITERS: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, storage) = (Instant::now(), Ledger::default(), storage());
            let processes = [process(&storage), process(&storage)];
            let call = |number: usize| {
                let (ledger, operation) = (ledger.clone(), patient(&processes[number % 2]));
                spawn(async move { operation.run(ledger.body()).await })
            };
            let calls: Vec<_> = (0..3).map(call).collect();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap(), 1, "G1");
            }
            at_once(begun);
            assert!(processes.iter().all(|process| process.in_flight() == 0));
        })
    },
};

/// So it is when the runner goes away, and the waiter runs the body.
pub(crate) const RUNNER_GOES_AWAY: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, storage) = (Instant::now(), Ledger::default(), storage());
            let processes = [process(&storage), process(&storage)];
            let call = |number: usize| {
                let (ledger, operation) = (ledger.clone(), patient(&processes[number % 2]));
                spawn(async move { operation.run(ledger.body()).await })
            };
            let (gone, others) = (call(0), [call(1), call(2)]);
            pass_some_time().await;
            gone.abort();
            let [one, other] = others;
            assert_eq!(one.await.unwrap().unwrap(), other.await.unwrap().unwrap(), "G1");
            at_once(begun);
            assert!(processes.iter().all(|process| process.in_flight() == 0));
        })
    },
};

/// So it is when a waiter goes away to which another one has attached.
pub(crate) const WAITER_GOES_AWAY: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, storage) = (Instant::now(), Ledger::default(), storage());
            let processes = [process(&storage), process(&storage)];
            let call = |number: usize| {
                let (ledger, operation) = (ledger.clone(), patient(&processes[number % 2]));
                spawn(Call::new(async move { operation.run(ledger.body()).await }))
            };
            let (gone, others) = (call(1), [call(0), call(3)]);
            pass_some_time().await;
            gone.abort();
            let [one, other] = others;
            assert_eq!(one.await.unwrap().unwrap(), other.await.unwrap().unwrap(), "G1");
            at_once(begun);
            assert!(processes.iter().all(|process| process.in_flight() == 0));
        })
    },
};

#[test]
fn waiters_of_other_processes_are_woken() {
    holds(&WAITERS);
}

#[test]
fn waiters_of_other_processes_take_over_at_once() {
    holds(&RUNNER_GOES_AWAY);
}

#[test]
fn a_waiter_that_goes_away_leaves_nobody_behind() {
    holds(&WAITER_GOES_AWAY);
}
