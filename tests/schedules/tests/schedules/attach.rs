//! Callers of one process: they attach to the call that is there, and one of them takes its place when it goes away.

use idem_shuttle::ErrorKind;
use idem_shuttle::internal::time::Instant;
use idem_shuttle::record::CrashPolicy;
use shuttle::future::yield_now;
use shuttle::rand::{Rng, thread_rng};
use shuttle_tokio::spawn;

use crate::explore::{Scenario, Time, holds};
use crate::ledger::{Ledger, at_once, patient, process};
use crate::storage::storage;

/// A duplicate gets the result of the one body that runs, the moment it is there.
pub(crate) const DUPLICATE: Scenario =
    Scenario { time: Time::Patient, run: || Box::pin(one_result_for(2)) };

/// So do several, though any of them may say for all that somebody waits.
pub(crate) const DUPLICATES: Scenario =
    Scenario { time: Time::Patient, run: || Box::pin(one_result_for(3)) };

async fn one_result_for(callers: usize) {
    let (begun, ledger, idem) = (Instant::now(), Ledger::default(), process(&storage()));
    let call = |_| {
        let (ledger, operation) = (ledger.clone(), patient(&idem));
        spawn(async move { operation.run(ledger.body()).await })
    };
    let calls: Vec<_> = (0..callers).map(call).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1, "G1");
    }
    assert_eq!(ledger.executions(), 1, "G1");
    at_once(begun);
    assert_eq!(idem.in_flight(), 0);
}

/// Whoever goes away, at whatever moment, the others get a result at once, and no two bodies run beside each other (G2, G6).
pub(crate) const ONE_GOES_AWAY: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, idem) = (Instant::now(), Ledger::default(), process(&storage()));
            let call = |_| {
                let (ledger, operation) = (ledger.clone(), patient(&idem));
                spawn(async move { operation.run(ledger.body()).await })
            };
            let gone = call(0);
            let calls: Vec<_> = (1..3).map(call).collect();
            pass_some_time().await;
            gone.abort();
            let mut values = Vec::new();
            for call in calls {
                values.push(call.await.unwrap().unwrap());
            }
            assert_eq!(values[0], values[1], "G1");
            if let Ok(Ok(value)) = gone.await {
                assert_eq!(value, values[0], "G1");
            }
            assert!(ledger.executions() <= 2);
            at_once(begun);
            assert_eq!(idem.in_flight(), 0);
        })
    },
};

/// A body that went away half way is not run again where the operation says so (G5).
pub(crate) const PARKED: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, idem) = (Instant::now(), Ledger::default(), process(&storage()));
            let call = || {
                let operation = patient(&idem).on_crash(CrashPolicy::Park);
                let ledger = ledger.clone();
                spawn(async move { operation.run(ledger.body()).await })
            };
            let (gone, stays) = (call(), call());
            pass_some_time().await;
            gone.abort();
            match stays.await.unwrap() {
                Ok(value) => assert_eq!(value, 1),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Indeterminate),
            }
            assert_eq!(ledger.executions(), 1, "G5");
            at_once(begun);
            assert_eq!(idem.in_flight(), 0);
        })
    },
};

pub(crate) async fn pass_some_time() {
    for _ in 0..thread_rng().gen_range(0..12) {
        yield_now().await;
    }
}

#[test]
fn a_duplicate_gets_the_one_result_at_once() {
    holds(&DUPLICATE);
}

#[test]
fn several_duplicates_get_the_one_result_at_once() {
    holds(&DUPLICATES);
}

#[test]
fn whoever_goes_away_leaves_no_key_locked() {
    holds(&ONE_GOES_AWAY);
}

#[test]
fn what_is_parked_does_not_run_again() {
    holds(&PARKED);
}
