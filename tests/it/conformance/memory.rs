//! The memory storage, on a clock that the suite moves and on real time.

use std::time::Duration;

use idem_runtime::clock::{Clock, MonotonicClock};
use idem_runtime::record::Timestamp;
use idem_runtime::storage::{MemoryStorage, SharedStorage, Storage};
use idem_runtime::testing::ManualClock;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened};

pub(super) const NO_BYTES: Inflicted =
    Inflicted::Unsupported("records are values of this process, and nothing lies between");

const NO_LIFE_OF_THEIR_OWN: &str = "records end with the process";

/// Any storage that runs on a clock of the test's, and whose handles are clones.
pub(crate) struct OnManualClock<S> {
    clock: ManualClock,
    storage: S,
}

impl<S> OnManualClock<S> {
    pub(crate) fn new(storage: impl FnOnce(ManualClock) -> S) -> Self {
        let clock = ManualClock::new();
        Self { storage: storage(clock.clone()), clock }
    }
}

impl<S: Storage + Clone> Harness for OnManualClock<S> {
    type Storage = S;

    fn storage(&self) -> &S {
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

    async fn second(&self) -> Opened<S> {
        Opened::Done(self.storage.clone())
    }

    async fn reopen(self) -> Opened<Self> {
        Opened::Unsupported(NO_LIFE_OF_THEIR_OWN)
    }

    async fn inflict(&self, _: Harm<'_>) -> Inflicted {
        NO_BYTES
    }
}

struct OnRealTime(MemoryStorage);

impl Harness for OnRealTime {
    type Storage = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        MonotonicClock.now()
    }

    async fn elapse(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn clock_is_exact(&self) -> bool {
        false
    }

    async fn second(&self) -> Opened<MemoryStorage> {
        Opened::Done(self.0.clone())
    }

    async fn reopen(self) -> Opened<Self> {
        Opened::Unsupported(NO_LIFE_OF_THEIR_OWN)
    }

    async fn inflict(&self, _: Harm<'_>) -> Inflicted {
        NO_BYTES
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_storage_conforms() {
    let report = conformance::run(async || OnManualClock::new(MemoryStorage::with_clock));
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_storage_shared_by_all_cases_conforms_on_real_time() {
    let storage = MemoryStorage::new();
    let report = conformance::run(async || OnRealTime(storage.clone())).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn boxed_storage_conforms() {
    let report = conformance::run(async || {
        OnManualClock::new(|clock| SharedStorage::new(MemoryStorage::with_clock(clock)))
    });
    report.await.assert_passed();
}
