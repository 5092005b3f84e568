//! The registry of those who wait for a key of the storage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use idem_shuttle::key::RecordKey;
use idem_shuttle::storage::Watchers;
use shuttle::future::yield_now;
use shuttle_tokio::spawn;

use crate::explore::{Scenario, Time, holds};

/// Whoever subscribes and then looks hears of every later change, whoever comes and goes beside.
pub(crate) const CHANGES: Scenario = Scenario {
    time: Time::Patient,
    run: || {
        Box::pin(async {
            let key = RecordKey::from_stored("k");
            let changed = Arc::new(AtomicBool::new(false));
            let left = Arc::new(AtomicBool::new(false));
            let hears = Arc::clone(&left);
            let watchers = Watchers::new(move |_| hears.store(true, SeqCst));
            let waiter = {
                let (watchers, changed, key) =
                    (watchers.clone(), Arc::clone(&changed), key.clone());
                spawn(async move {
                    let (mut wakeup, _) = watchers.subscribe(&key);
                    while !changed.load(SeqCst) {
                        wakeup.changed().await;
                    }
                })
            };
            let passer_by = {
                let (watchers, key) = (watchers.clone(), key.clone());
                spawn(async move {
                    let subscribed = watchers.subscribe(&key);
                    yield_now().await;
                    drop(subscribed);
                })
            };
            yield_now().await;
            changed.store(true, SeqCst);
            watchers.wake(key.as_str());
            waiter.await.unwrap();
            passer_by.await.unwrap();
            assert!(!watchers.is_watched(&key) && left.load(SeqCst));
        })
    },
};

#[test]
fn who_subscribes_hears_of_every_change() {
    holds(&CHANGES);
}
