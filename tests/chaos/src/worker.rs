//! A worker process: it calls the round's keys until its standard input ends, then waits for its calls.

use std::error::Error as _;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use idem_runtime::policy::ReleaseErrors;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{SharedStorage, StorageErrorKind};
use idem_runtime::{Error, ErrorKind, Idempotency, Outcome, Source, current};
use testkit::ledger::Ledger;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::diary::{Answer, Diary, What, now};
use crate::flaw::Flawed;
use crate::load::{Load, OPERATION, Plan, TTL};
use crate::pool::Shared;
use crate::runtimes::{Home, end_and_begin, stand_still};

/// What the ledger says of an execution that failed.
pub const FAILED: &str = "failed";

/// The process, until its standard input ends.
///
/// # Panics
///
/// When `load` is none, or the storage's address makes no sense.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub async fn run(load: &str) {
    let load: Load = serde_json::from_str(load).expect("the argument is a load");
    let stop = CancellationToken::new();
    let end = stop.clone();
    thread::spawn(move || {
        // An input that cannot be read has ended as well.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        end.cancel();
    });
    let diary = Arc::new(Diary::create(&load.dir));
    tokio::spawn(notice_standing_still(Arc::clone(&diary)));
    let pool = Shared::at(&load.url);
    let connecting = connect(&load, &pool);
    let Some(storage) = stop.run_until_cancelled(connecting).await else { return };
    let worker = Worker::new(load, storage, pool, diary);
    worker.call_on_all_runtimes(&stop).await;
    worker.leave_nothing_behind().await;
}

/// The storage, which may be down at the moment.
async fn connect(load: &Load, pool: &Shared) -> SharedStorage {
    loop {
        match pool.storage().await {
            Ok(Some(storage)) => return storage,
            Ok(None) => match Idempotency::connect(&load.url).await {
                Ok(idem) => return idem.storage().clone(),
                Err(error) => assert_ne!(error.kind(), ErrorKind::Configuration, "{error}"),
            },
            Err(error) => assert_ne!(error.kind(), StorageErrorKind::Configuration, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whoever stands still cannot know that it has lost its lease, be it stopped or merely not given a processor.
async fn notice_standing_still(diary: Arc<Diary>) {
    const TICK: Duration = Duration::from_millis(20);
    const STANDING: Duration = Duration::from_millis(100);
    loop {
        let (since, begun) = (now(), Instant::now());
        sleep(TICK).await;
        if begun.elapsed() > STANDING {
            diary.note(0, What::StoodStill { since });
        }
    }
}

/// Makes calls. Clones are the same worker.
#[derive(Clone)]
struct Worker(Arc<Inner>);

struct Inner {
    load: Load,
    idem: Idempotency,
    pool: Shared,
    ledger: Ledger,
    diary: Arc<Diary>,
    calls: AtomicU32,
    /// The runtime that neither stands still nor ends.
    runtime: Handle,
}

impl Worker {
    fn new(load: Load, storage: SharedStorage, pool: Shared, diary: Arc<Diary>) -> Self {
        let builder = match load.flaw {
            None => Idempotency::builder(storage),
            Some(flaw) => Idempotency::builder(Flawed::new(storage, flaw)),
        };
        let idem = builder.namespace(&load.namespace).build().expect("the settings make sense");
        let ledger = ledger_in(&load.dir);
        let (calls, runtime) = (AtomicU32::new(0), Handle::current());
        Self(Arc::new(Inner { load, idem, pool, ledger, diary, calls, runtime }))
    }

    async fn call_on_all_runtimes(&self, stop: &CancellationToken) {
        let mut callers = JoinSet::new();
        for caller in 0..self.0.load.callers {
            let mut rng = self.rng(caller);
            let calls = {
                let (worker, stop) = (self.clone(), stop.clone());
                move |rng| worker.clone().call_until(rng, stop.clone())
            };
            match Home::of(caller) {
                Home::Shared => drop(callers.spawn(calls(rng))),
                Home::StandsStill => {
                    let thread = stand_still(rng.fork(), self.0.load.lease, calls(rng));
                    callers.spawn_blocking(|| thread.join().expect("a runtime does not panic"));
                }
                Home::Ends => {
                    let next = Mutex::new(rng.fork());
                    let begin = move || calls(next.lock().expect("nobody panics").fork());
                    let thread = end_and_begin(rng, stop.clone(), begin);
                    callers.spawn_blocking(|| thread.join().expect("a runtime does not panic"));
                }
            }
        }
        callers.join_all().await;
    }

    /// What a caller draws from.
    fn rng(&self, caller: u32) -> Rng {
        let seed = u64::from(self.0.load.number) << 32 | u64::from(caller);
        Rng::with_seed(self.0.load.seed ^ seed.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    async fn call_until(self, mut rng: Rng, stop: CancellationToken) {
        let load = &self.0.load;
        while !stop.is_cancelled() {
            if rng.u8(..16) == 0 {
                self.0.pool.give_up_a_begin(&mut rng).await;
            }
            let plan = Plan::draw(&mut rng, load, now());
            let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
            let call = u64::from(load.number) << 32 | u64::from(number);
            let patience = Patience::draw(&mut rng, load.lease);
            self.call(call, plan, patience).await;
            sleep(Duration::from_millis(rng.u64(2..60))).await;
        }
    }

    async fn call(&self, call: u64, plan: Plan, patience: Patience) {
        let Inner { idem, diary, .. } = &*self.0;
        diary.note(call, What::Called { key: plan.key.clone(), parks: plan.parks });
        let mut end = End { diary, call, answer: None };
        let answer = ask(idem, &plan, self.0.load.lease, patience.wait, self.body(call, &plan));
        end.answer = match patience.goes_away_after {
            None => Some(answer.await),
            Some(limit) => timeout(limit, answer).await.ok(),
        };
    }

    fn body(
        &self,
        call: u64,
        plan: &Plan,
    ) -> impl Future<Output = Result<String, Failed>> + Send + 'static {
        let (ledger, diary, plan) =
            (self.0.ledger.clone(), Arc::clone(&self.0.diary), plan.clone());
        let pool = plan.holds.then(|| self.0.pool.clone());
        let lost = move |call| diary.note(call, What::LeaseLost);
        execution(ledger, plan, call, pool, lost, self.0.runtime.clone())
    }

    /// What is still under way once every caller has its answer is the background's, which gives up when its lease is over.
    async fn leave_nothing_behind(&self) {
        let Inner { idem, diary, load, .. } = &*self.0;
        let begun = Instant::now();
        while idem.in_flight() > 0 {
            if begun.elapsed() > load.lease * 2 + Duration::from_secs(5) {
                return diary.note(0, What::LeftBehind { calls: idem.in_flight() });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How a call ended, noted down however it ends: its runtime may be dropped with it.
struct End<'a> {
    diary: &'a Diary,
    call: u64,
    /// None when its caller went away.
    answer: Option<Answer>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let what = self.answer.take().map_or(What::Dropped, What::Answered);
        self.diary.note(self.call, what);
    }
}

/// How long a caller waits for what.
struct Patience {
    /// For the result of another call.
    wait: Option<Duration>,
    /// For anything at all.
    goes_away_after: Option<Duration>,
}

impl Patience {
    fn draw(rng: &mut Rng, lease: Duration) -> Self {
        Self {
            wait: (rng.u8(..4) > 0).then(|| lease.mul_f64(rng.f64() * 2.5)),
            goes_away_after: (rng.u8(..20) == 0).then(|| Duration::from_millis(rng.u64(..300))),
        }
    }
}

/// The ledger in a worker's folder.
pub fn ledger_in(dir: &Path) -> Ledger {
    Ledger::open(dir.join("executions.tsv"))
}

/// Why a body, or a call, has no result.
#[derive(Debug)]
pub enum Failed {
    /// The body says so.
    Body,
    /// The library does.
    Call(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// One call of a key.
pub async fn ask(
    idem: &Idempotency,
    plan: &Plan,
    lease: Duration,
    wait: Option<Duration>,
    body: impl Future<Output = Result<String, Failed>> + Send,
) -> Answer {
    let policy = if plan.parks { CrashPolicy::Park } else { CrashPolicy::Retry };
    let mut operation =
        idem.operation(OPERATION).key(plan.key.as_str()).lease(lease).ttl(TTL).on_crash(policy);
    if let Some(wait) = wait {
        operation = operation.wait(wait);
    }
    match operation.errors(ReleaseErrors).run_with_outcome(body).await {
        Ok(Outcome { value, source: Source::Executed { .. } }) => Answer::Executed(value),
        Ok(Outcome { value, source: Source::Replayed { .. } }) => Answer::Replayed(value),
        Ok(Outcome { value, .. }) => Answer::Unrecorded(value),
        Err(Failed::Body) => Answer::Failed,
        Err(Failed::Call(error)) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Answer::Refused {
                kind: error.kind().as_str().to_owned(),
                text: format!("{error}{cause}"),
            }
        }
    }
}

/// A body that enters itself in the ledger.
pub async fn execution(
    ledger: Ledger,
    plan: Plan,
    call: u64,
    pool: Option<Shared>,
    lease_lost: impl FnOnce(u64) + Send + 'static,
    watching: Handle,
) -> Result<String, Failed> {
    let context = current().expect("a body has a context");
    let value = plan.value(call);
    let run = ledger.start(&plan.key, &format!("{call} {} {value}", context.fence()));
    // Aborted when the body ends or is dropped.
    let mut watch = JoinSet::new();
    // A runtime that stands still cannot be told that the lease is lost.
    let watcher = async move {
        context.lease_lost().await;
        lease_lost(call);
    };
    watch.spawn_on(watcher, &watching);
    let _held = match &pool {
        Some(pool) => pool.hold().await,
        None => None,
    };
    sleep(plan.takes).await;
    watch.abort_all();
    if plan.fails(call) {
        run.finish(FAILED);
        return Err(Failed::Body);
    }
    run.finish("");
    Ok(value)
}
