//! Claims that reach the storage again after they have been answered.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::clock::ManualClock;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, OwnerId, Record, State};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Cursor, MemoryStorage, Page, Release, Renew, Storage, StorageError,
    Wakeup, Written,
};
use idem_runtime::{Error, Idempotency, Key};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::stage::{TTL, fingerprint};

const LEASE: Duration = Duration::from_millis(300);

/// A network that holds a claim back and delivers it a second time: when the owner's lease is over, and long before the caller asks again.
#[derive(Clone)]
struct Repeating {
    inner: MemoryStorage,
    clock: ManualClock,
    first_asked: Arc<Mutex<Option<Instant>>>,
}

impl Storage for Repeating {
    fn backend(&self) -> &'static str {
        "repeating"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        let first = *self.first_asked.lock().get_or_insert_with(Instant::now);
        if first.elapsed() > LEASE {
            self.clock.advance(LEASE);
            let late = self.inner.claim(claim).await?;
            assert!(matches!(late, Claimed::Acquired { .. }), "{late:?}");
            self.clock.advance(LEASE);
        }
        self.inner.claim(claim).await
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.inner.renew(renewals).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.inner.complete(complete).await
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.inner.release(release).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.inner.load(key).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.inner.purge(limit).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.inner.scan(after, limit).await
    }

    async fn watch(&self, _: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(None)
    }
}

/// Found by the simulation: a waiter took the lease that such a claim had got for a new one, and began when it was over.
#[tokio::test(start_paused = true)]
async fn a_body_does_not_begin_on_the_lease_of_a_claim_that_came_late() {
    let clock = ManualClock::new();
    let inner = MemoryStorage::with_clock(clock.clone());
    let key = RecordKey::new("default", None, &Key::new("k").unwrap()).unwrap();
    let dead = Claim {
        key: key.clone(),
        owner: OwnerId::random(),
        fingerprint: fingerprint(),
        lease: LEASE,
        ttl: TTL,
        on_crash: CrashPolicy::Retry,
    };
    inner.claim(&dead).await.unwrap();
    let storage = Repeating { inner: inner.clone(), clock, first_asked: Arc::default() };
    let idem = Idempotency::new(storage).unwrap();
    let body = async {
        let record = inner.load(&key).await.unwrap().unwrap();
        // The storage's clock has not moved since, so a rival is told what is left of the lease.
        let rival = inner.claim(&Claim { owner: OwnerId::random(), ..dead.clone() }).await.unwrap();
        assert!(matches!(record.state, State::Processing { .. }), "{record:?}");
        assert!(matches!(rival, Claimed::InProgress { .. }), "a rival runs as well: {rival:?}");
        Ok::<_, Error>(())
    };
    let call = idem.operation(idem_tests::Job::OPERATION).key("k").lease(LEASE).wait(LEASE * 20);
    call.run(body).await.unwrap();
}
