//! Many threads, one handle or two on one storage, and callers who go away: one result each time, and no key stays locked. A race detector
//! has the most to look at here: see `cargo xtask verify --long`.
#![allow(clippy::unwrap_used, reason = "a test that fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use idem_runtime::storage::MemoryStorage;
use idem_runtime::{Error, Idempotency, current};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

const CALLERS: u64 = 6;
const ROUNDS: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// One handle for callers of even numbers, another one for the others.
fn processes() -> [Idempotency; 2] {
    let storage = MemoryStorage::new();
    [0, 1].map(|_| Idempotency::new(storage.clone()).unwrap())
}

#[derive(Default)]
struct Ledger {
    begun: AtomicU64,
    running: AtomicBool,
}

impl Ledger {
    async fn body(&self, takes: Duration) -> Result<u64, Error> {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        assert!(!self.running.swap(true, SeqCst), "G2: two bodies run at once");
        let _ends = Ends(&self.running);
        yield_now().await;
        if !takes.is_zero() {
            sleep(takes).await;
        }
        Ok(number)
    }
}

struct Ends<'r>(&'r AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

fn call(
    idem: &Idempotency,
    key: String,
    lease: Duration,
    takes: Duration,
    ledger: &Arc<Ledger>,
) -> JoinHandle<Result<u64, Error>> {
    let operation = idem.operation("pay").key(key).lease(lease).wait(PATIENCE);
    let ledger = Arc::clone(ledger);
    tokio::spawn(async move { operation.run(ledger.body(takes)).await })
}

async fn at_rest(processes: &[Idempotency]) {
    let rest = async {
        while processes.iter().any(|process| process.in_flight() > 0) {
            yield_now().await;
        }
    };
    timeout(PATIENCE, rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_gets_the_one_result() {
    let processes = processes();
    for round in 0..ROUNDS {
        let ledger = Arc::new(Ledger::default());
        let lease = Duration::from_secs(30);
        let callers = (0..CALLERS).map(|caller| {
            let process = &processes[usize::try_from(caller % 2).unwrap()];
            call(process, format!("k{round}"), lease, Duration::ZERO, &ledger)
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap().unwrap(), 1, "G1");
        }
        assert_eq!(ledger.begun.load(SeqCst), 1, "G1");
    }
    at_rest(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_goes_away_leaves_no_key_locked() {
    let processes = processes();
    for round in 0..ROUNDS {
        let ledger = Arc::new(Ledger::default());
        let lease = Duration::from_secs(30);
        let takes = Duration::from_micros(round * 20);
        let mut callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let process = &processes[usize::try_from(caller % 2).unwrap()];
                call(process, format!("k{round}"), lease, takes, &ledger)
            })
            .collect();
        let stays = callers.split_off(2);
        for gone in callers {
            sleep(Duration::from_micros(round * 5)).await;
            gone.abort();
        }
        let mut values = Vec::new();
        for caller in stays {
            values.push(caller.await.unwrap().unwrap());
        }
        values.dedup();
        assert_eq!(values.len(), 1, "G1: {values:?}");
    }
    at_rest(&processes).await;
}

/// The lease is an order of magnitude longer than a busy machine stands still, and the bodies are longer than the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_are_kept_up_while_others_wait_for_them() {
    let processes = processes();
    let lease = Duration::from_millis(900);
    let rounds = (0..4_u64).map(|round| {
        let ledger = Arc::new(Ledger::default());
        let callers: Vec<_> = [0, 1, 1]
            .map(|process: usize| {
                call(&processes[process], format!("k{round}"), lease, lease * 2, &ledger)
            })
            .into();
        (ledger, callers)
    });
    for (ledger, callers) in rounds.collect::<Vec<_>>() {
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap(), 1, "G2");
        }
        assert_eq!(ledger.begun.load(SeqCst), 1, "G2");
    }
    at_rest(&processes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_works_for_a_body_that_is_gone_is_told() {
    let [idem, _] = processes();
    for round in 0..ROUNDS {
        let (tell, told) = tokio::sync::oneshot::channel();
        let call = idem.operation("pay").key(format!("k{round}")).run(async move {
            let context = current().unwrap();
            let works = tokio::spawn(async move { context.lease_lost().await });
            tell.send(works).unwrap();
            std::future::pending::<Result<(), Error>>().await
        });
        let call = tokio::spawn(call);
        let works = told.await.unwrap();
        call.abort();
        timeout(PATIENCE, works).await.unwrap().unwrap();
    }
    at_rest(&[idem]).await;
}
