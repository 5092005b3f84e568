//! The fault-injecting wrapper: it conforms as far as its faults allow, and under the engine's retries whatever they are.

use std::time::Duration;

use idem_runtime::clock::Clock;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::MemoryStorage;
use idem_runtime::testing::conformance::{self, CaseOutcome, Harm, Harness, Inflicted, Opened};
use idem_runtime::testing::{Fault, Faults, FaultyStorage, ManualClock, Verb};

use super::memory::{NO_BYTES, OnManualClock};
use super::retrying::Retrying;

/// A storage whose requests and replies can be lost.
struct OnFaulty {
    clock: ManualClock,
    storage: FaultyStorage<MemoryStorage>,
}

impl Harness for OnFaulty {
    type Storage = FaultyStorage<MemoryStorage>;

    fn storage(&self) -> &Self::Storage {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn elapse(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    fn clock_is_exact(&self) -> bool {
        true
    }

    async fn second(&self) -> Opened<Self::Storage> {
        Opened::Done(self.storage.clone())
    }

    async fn reopen(self) -> Opened<Self> {
        Opened::Unsupported("records end with the process")
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        let fault = match harm {
            Harm::NextRequestLost => Fault::LoseRequest,
            Harm::NextReplyLost => Fault::LoseReply,
            _ => return NO_BYTES,
        };
        self.storage.faults().any_next(fault);
        Inflicted::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faulty_storage_conforms_when_requests_and_replies_are_lost() {
    let report = conformance::run(async || {
        let clock = ManualClock::new();
        let storage = FaultyStorage::new(MemoryStorage::with_clock(clock.clone()));
        OnFaulty { clock, storage }
    })
    .await;
    report.assert_passed();
    let lost: Vec<_> =
        report.cases().iter().filter(|case| case.name().contains("_is_lost")).collect();
    assert!(lost.len() >= 6);
    assert!(lost.iter().all(|case| *case.outcome() == CaseOutcome::Passed), "{report}");
}

async fn conforms_with(faults: impl Fn(&Faults)) {
    let report = conformance::run(async || {
        OnManualClock::new(|clock| {
            let storage = FaultyStorage::new(MemoryStorage::with_clock(clock));
            faults(storage.faults());
            Retrying(storage)
        })
    });
    report.await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faulty_storage_conforms_when_every_call_is_delayed() {
    conforms_with(|faults| {
        for verb in Verb::ALL {
            faults.always(verb, Fault::Delay(Duration::from_millis(1)));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn retries_hide_lost_requests_and_replies() {
    for seed in 0..8 {
        conforms_with(|faults| {
            let choices = Verb::ALL.into_iter().flat_map(|verb| {
                // After a lost reply a release finds nothing any more, and what a purge removed is not counted: safe, but another answer
                // than the suite expects.
                let after = match verb {
                    Verb::Release | Verb::Purge => Fault::LoseRequest,
                    _ => Fault::LoseReply,
                };
                [Fault::Refuse, Fault::LoseRequest, after].map(|fault| (verb, fault))
            });
            faults.random_among(seed, 0.3, choices);
        })
        .await;
    }
}
