//! What tasks that work for a body hear of its lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use idem_shuttle::internal::time::{Instant, sleep};
use idem_shuttle::{Error, current};
use shuttle_tokio::spawn;

use crate::attach::pass_some_time;
use crate::explore::{Scenario, Time, holds};
use crate::ledger::{Ledger, at_once, process};
use crate::storage::storage;

const SHORT: Duration = Duration::from_millis(300);

/// A body ends in the moment in which its lease is renewed: nobody is told that the lease is lost, because it is not.
pub(crate) const ENDS_WHILE_RENEWED: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (idem, told) = (process(&storage()), Arc::new(AtomicBool::new(false)));
            let hears = Arc::clone(&told);
            let operation = idem.operation("pay").key("k").lease(SHORT);
            let call = spawn(operation.run_with_outcome(async move {
                let context = current().unwrap();
                drop(spawn(async move {
                    context.lease_lost().await;
                    hears.store(true, SeqCst);
                }));
                sleep(SHORT / 3 * 2).await;
                Ok::<_, Error>(())
            }));
            let outcome = call.await.unwrap().unwrap();
            assert_eq!(outcome.source, idem_shuttle::Source::Executed { recovered: false });
            // So that whoever is told has the time to say so.
            sleep(Duration::from_millis(1)).await;
            assert!(!told.load(SeqCst), "told that a lease is lost which was kept to the end");
        })
    },
};

/// A body goes away: who works for it is told at once.
pub(crate) const GOES_AWAY: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let (begun, ledger, idem) = (Instant::now(), Ledger::default(), process(&storage()));
            let works = ledger.clone();
            let (tell, told) = shuttle_tokio::sync::oneshot::channel();
            let call = spawn(idem.operation("pay").key("k").run(async move {
                let context = current().unwrap();
                drop(spawn(async move {
                    context.lease_lost().await;
                    let _ = tell.send(());
                }));
                works.body().await?;
                std::future::pending::<Result<(), Error>>().await
            }));
            pass_some_time().await;
            call.abort();
            let _ = call.await;
            if ledger.executions() == 1 {
                told.await.unwrap();
            }
            at_once(begun);
            assert_eq!(idem.in_flight(), 0);
        })
    },
};

#[test]
fn a_body_that_ends_while_its_lease_is_renewed_has_not_lost_it() {
    holds(&ENDS_WHILE_RENEWED);
}

#[test]
fn who_works_for_a_body_is_told_that_it_is_gone() {
    holds(&GOES_AWAY);
}
