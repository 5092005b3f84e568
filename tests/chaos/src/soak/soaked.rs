//! The process that is watched in a soak.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Status;
use idem_runtime::storage::{SharedStorage, SqliteStorage, Storage};
use idem_runtime::testing::FaultyStorage;
use idem_runtime::{Error, ErrorKind, Idempotency, Key, Outcome, Source};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{Left, Sample, Soak, Told};

const NAMESPACE: &str = "soak";

const LEASE: Duration = Duration::from_secs(2);

/// Short, so that records expire, and as many leave as come.
const TTL: Duration = Duration::from_secs(60);

/// How often a verb fails.
const FAULTS: f64 = 0.05;

/// What the calls came to.
#[derive(Debug, Default)]
struct Counts {
    executions: AtomicU64,
    refused: AtomicU64,
    unrecorded: AtomicU64,
}

/// The process. It tells its memory as it goes on, and what is left in the end, on its standard output.
///
/// # Panics
///
/// When `soak` is none, or the storage cannot be reached.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub async fn soaked(soak: &str) {
    let soak: Soak = serde_json::from_str(soak).expect("the argument is a soak");
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let over = CancellationToken::new();
    let storage = connect(&soak.url, &over).await;
    let unreliable = FaultyStorage::new(storage.clone());
    unreliable.faults().random(soak.seed, FAULTS);
    let faults = unreliable.faults().clone();
    let idem = Idempotency::builder(unreliable).namespace(NAMESPACE).lease(LEASE).ttl(TTL).build();
    let idem = idem.expect("the settings make sense");
    let counts = Arc::new(Counts::default());
    let calls = call_for(&soak, &idem, &counts).await;
    faults.clear();
    tell(&Told::Calm);
    settle(&idem).await;
    let at_work = at_work(&soak, &idem, &storage, calls).await;
    let in_flight = idem.in_flight();
    over.cancel();
    drop((idem, storage));
    let tasks = tasks_beyond(tasks_before).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    tell(&Told::Left(Left {
        calls,
        executions: count(&counts.executions),
        refused: count(&counts.refused),
        unrecorded: count(&counts.unrecorded),
        at_work,
        in_flight,
        tasks,
    }));
}

/// The storage; in a file with a janitor, as in a service.
async fn connect(url: &str, over: &CancellationToken) -> SharedStorage {
    if !url.starts_with("sqlite") {
        // Its connection is disturbed already.
        loop {
            match Idempotency::connect(url).await {
                Ok(idem) => return idem.storage().clone(),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }
    let storage = SqliteStorage::connect(url).await.expect("the file can be made");
    storage.migrate().await.expect("the tables can be made");
    drop(storage.spawn_janitor(Duration::from_secs(10), over.clone()));
    SharedStorage::new(storage)
}

/// How many times the calls of a second there are while it warms up, so that pools, caches and buffers become as large as they will get.
const WARMING: u32 = 5;

/// Makes calls at the rate that is asked for, each key about three times, and tells the memory; how many calls.
async fn call_for(soak: &Soak, idem: &Idempotency, counts: &Arc<Counts>) -> u64 {
    let mut caller = Caller {
        idem,
        counts,
        begun: Instant::now(),
        rng: Rng::with_seed(soak.seed),
        made: 0,
        told: None,
        calls: JoinSet::new(),
    };
    caller.call_until(soak.warm() / 2, soak.rate * WARMING).await;
    caller.call_until(soak.length, soak.rate).await;
    caller.calls.join_all().await;
    caller.made
}

struct Caller<'a> {
    idem: &'a Idempotency,
    counts: &'a Arc<Counts>,
    begun: Instant,
    rng: Rng,
    made: u64,
    told: Option<Instant>,
    calls: JoinSet<()>,
}

impl Caller<'_> {
    /// Makes so many calls in a second until so much time has passed since the beginning.
    async fn call_until(&mut self, end: Duration, rate: u32) {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.begun.elapsed() < end {
            ticks.tick().await;
            while self.calls.try_join_next().is_some() {}
            self.made += 1;
            let Self { rng, made, .. } = self;
            let number = (*made / 3).saturating_sub(rng.u64(..3));
            let takes = Duration::from_millis(if rng.u8(..50) == 0 { 2500 } else { rng.u64(..20) });
            let goes_away = rng.u8(..30) == 0;
            let counts = Arc::clone(self.counts);
            self.calls.spawn(call(self.idem.clone(), number, takes, goes_away, counts));
            self.tell_memory();
        }
    }

    /// Every few seconds.
    fn tell_memory(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() > Duration::from_secs(5)) {
            self.told = Some(Instant::now());
            let seconds = self.begun.elapsed().as_secs_f64();
            tell(&Told::Memory(Sample { seconds, resident: resident() }));
        }
    }
}

/// One call; some callers go away at once.
async fn call(
    idem: Idempotency,
    number: u64,
    takes: Duration,
    goes_away: bool,
    counts: Arc<Counts>,
) {
    let ran = Arc::clone(&counts);
    let body = async move {
        ran.executions.fetch_add(1, Ordering::Relaxed);
        sleep(takes).await;
        Ok::<_, Error>(format!("{number:0200}"))
    };
    let call =
        idem.operation("soak").key(format!("k{number}")).wait(LEASE * 3).run_with_outcome(body);
    let limit = if goes_away { Duration::from_millis(5) } else { Duration::from_secs(60) };
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(Outcome { source: Source::Unrecorded, .. })) => {
            counts.unrecorded.fetch_add(1, Ordering::Relaxed)
        }
        Ok(Err(error)) if error.kind() == ErrorKind::Storage => {
            counts.refused.fetch_add(1, Ordering::Relaxed)
        }
        _ => 0,
    };
}

/// Waits until nothing is under way, as long as a lease and a step may take.
async fn settle(idem: &Idempotency) {
    let begun = Instant::now();
    while idem.in_flight() > 0 && begun.elapsed() < LEASE * 2 + Duration::from_secs(3) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Calls the keys once more whose records are at work and not expired yet; those that still are after that.
async fn at_work(
    soak: &Soak,
    idem: &Idempotency,
    storage: &SharedStorage,
    calls: u64,
) -> Vec<String> {
    let counts = Arc::new(Counts::default());
    let newest = calls / 3;
    let oldest = newest.saturating_sub(TTL.as_secs() * 2 * u64::from(soak.rate) / 3);
    let mut left = Vec::new();
    for number in oldest..=newest {
        if is_at_work(storage, number).await {
            call(idem.clone(), number, Duration::ZERO, false, Arc::clone(&counts)).await;
            if is_at_work(storage, number).await {
                left.push(format!("k{number}"));
            }
        }
    }
    left
}

async fn is_at_work(storage: &SharedStorage, number: u64) -> bool {
    let name = Key::new(format!("k{number}")).and_then(|key| RecordKey::new(NAMESPACE, None, &key));
    let name = name.expect("the names are good");
    for _ in 0..100 {
        match storage.load(&name).await {
            Ok(record) => {
                return record.is_some_and(|record| record.status() == Status::Processing);
            }
            // Its connection was cut a moment ago.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("the storage does not answer");
}

/// How many more tasks are alive than before there was a handle, once those that end with it have.
async fn tasks_beyond(before: usize) -> usize {
    let begun = Instant::now();
    loop {
        let beyond = Handle::current().metrics().num_alive_tasks().saturating_sub(before);
        if beyond == 0 || begun.elapsed() > Duration::from_secs(30) {
            return beyond;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// This process' resident memory in bytes.
fn resident() -> u64 {
    /// Of Linux on all that this runs on.
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("memory is told by Linux alone");
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .map_or(0, |pages| pages * PAGE)
}

fn tell(told: &Told) {
    let line = serde_json::to_string(told).expect("it is JSON");
    let mut out = std::io::stdout().lock();
    // Whoever watched may be gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
