//! The same load for hours, with 5 % faults: does memory grow, does a key stay locked, does a task stay?
//!
//! A process for each storage makes calls at a low and steady rate through a storage that fails one verb in twenty, and on Redis through a
//! connection that is cut, or loses a reply, about every second. It tells its resident memory as it goes on. In the end it makes all well,
//! asks for what is still at work, drops its handle, and tells what is left.

mod soaked;
mod trend;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use testkit::process::{Process, command};
use testkit::proxy::FaultProxy;
use testkit::redis::RedisServer;

pub use self::soaked::soaked;
pub use self::trend::{Sample, slope_per_hour};

/// What the process that is watched is told: JSON, its only argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Soak {
    /// The storage.
    pub url: String,
    /// Of the faults.
    pub seed: u64,
    /// How long.
    pub length: Duration,
    /// Calls in a second.
    pub rate: u32,
}

impl Soak {
    /// How long it warms up; what its memory is meanwhile says nothing.
    fn warm(&self) -> Duration {
        self.length / 5
    }
}

/// What it tells, a line of JSON each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// Its resident memory.
    Memory(Sample),
    /// It has made its last call, and nothing is to go wrong any more.
    Calm,
    /// It is done.
    Left(Left),
}

/// What is left when all is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Left {
    /// Calls that were made.
    pub calls: u64,
    /// Bodies that ran.
    pub executions: u64,
    /// Calls that ended with an error of the storage.
    pub refused: u64,
    /// Results that nobody could record.
    pub unrecorded: u64,
    /// Keys whose record is at work although nobody works.
    pub at_work: Vec<String>,
    /// What the handle says is under way.
    pub in_flight: usize,
    /// Tasks that are alive beyond those before there was a handle.
    pub tasks: usize,
}

/// What became of a soak on one storage.
#[derive(Debug, Serialize)]
pub struct Soaked {
    /// Which.
    pub storage: &'static str,
    /// How often a connection was disturbed.
    pub disturbances: u64,
    /// What is left.
    pub left: Left,
    /// By how much memory grows in an hour, as a share of what there is, once it is warm.
    pub slope: f64,
    /// The last resident memory, in bytes.
    pub resident: u64,
    /// Samples after warming up.
    pub samples: usize,
}

impl Soaked {
    /// Whether nothing is left. Whether memory grows cannot be told by less than an hour.
    pub fn is_clean(&self) -> bool {
        let Left { at_work, in_flight, tasks, .. } = &self.left;
        at_work.is_empty() && *in_flight == 0 && *tasks == 0
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { storage, disturbances, left, slope, resident, samples } = self;
        let Left { calls, executions, refused, unrecorded, at_work, in_flight, tasks } = left;
        write!(
            f,
            "{storage}: {calls} calls, {executions} executions, {refused} refused, {unrecorded} unrecorded, {disturbances} connections disturbed; \
             left: {} keys at work, {in_flight} calls, {tasks} tasks; memory {:.1} MiB, {:+.2} % an hour over {samples} samples",
            at_work.len(),
            *resident as f64 / 1_048_576.0,
            slope * 100.0,
        )
    }
}

/// By how much memory may grow in an hour.
const MOST: f64 = 0.01;

/// From when on the slope is more than noise.
const LONG: Duration = Duration::from_secs(1800);

/// Soaks Redis and SQLite side by side, and says whether nothing grows and nothing stays.
pub fn run(program: &Path, length: Duration, seed: u64, dir: &Path) -> bool {
    let soaks = thread::scope(|scope| {
        let redis = scope.spawn(|| redis(program, length, seed, dir));
        let sqlite = scope.spawn(|| sqlite(program, length, seed, dir));
        [redis, sqlite].map(|soak| soak.join().expect("a soak does not panic"))
    });
    println!("seed {seed}");
    for soak in &soaks {
        println!("{soak}");
    }
    let flat = |soak: &Soaked| length < LONG || soak.slope < MOST;
    soaks.iter().all(|soak| soak.is_clean() && flat(soak))
}

/// Soaks Redis, through a connection that is disturbed about every second.
pub fn redis(program: &Path, length: Duration, seed: u64, dir: &Path) -> Soaked {
    let server = RedisServer::builder().append_only("everysec").start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let disturb = scope.spawn(|| disturb(&proxy, seed, &over));
        let soak = Soak { url: proxy.url(), seed, length, rate: RATE };
        let soaked = watch(program, &soak, "redis", dir, || over.store(true, Ordering::Relaxed));
        over.store(true, Ordering::Relaxed);
        Soaked { disturbances: disturb.join().expect("a proxy can be disturbed"), ..soaked }
    })
}

/// Soaks SQLite in a file.
pub fn sqlite(program: &Path, length: Duration, seed: u64, dir: &Path) -> Soaked {
    let folder = TempDir::new().expect("a folder can be made");
    let url = format!("sqlite://{}", folder.path().join("records.db").display());
    watch(program, &Soak { url, seed, length, rate: RATE }, "sqlite", dir, || {})
}

/// Low, so that hours of it are bearable beside other work.
const RATE: u32 = 40;

fn disturb(proxy: &FaultProxy, seed: u64, over: &AtomicBool) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut times = 0;
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(rng.u64(500..1500)));
        match rng.u8(..3) {
            0 => proxy.cut(),
            1 => proxy.drop_replies(1),
            _ => proxy.drop_requests(1),
        }
        times += 1;
    }
    proxy.heal();
    times
}

/// Starts the process, and takes down what it tells. `when_calm` is called when it has made its last call.
fn watch(
    program: &Path,
    soak: &Soak,
    storage: &'static str,
    dir: &Path,
    when_calm: impl Fn(),
) -> Soaked {
    let mut command = command(program);
    command.arg("soaked").arg(serde_json::to_string(soak).expect("a soak is JSON"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process::spawn(command);
    let output = BufReader::new(process.take_stdout().expect("it is piped"));
    let (mut samples, mut left) = (Vec::<Sample>::new(), None);
    let file = dir.join(format!("soak-{storage}.csv"));
    for line in output.lines().map_while(Result::ok) {
        match serde_json::from_str(&line).expect("a line is something told") {
            Told::Memory(sample) => samples.push(sample),
            Told::Calm => when_calm(),
            Told::Left(told) => left = Some(told),
        }
        keep(&file, &samples);
    }
    let warm = soak.warm().as_secs_f64();
    let samples: Vec<Sample> = samples.into_iter().filter(|sample| sample.seconds > warm).collect();
    Soaked {
        storage,
        disturbances: 0,
        left: left.expect("it tells what is left before it ends"),
        slope: slope_per_hour(&samples),
        resident: samples.last().map_or(0, |sample| sample.resident),
        samples: samples.len(),
    }
}

/// Writes the samples down, for those who want to draw them.
fn keep(file: &Path, samples: &[Sample]) {
    let head = "seconds,resident\n".to_owned();
    let rows = samples.iter().fold(head, |mut rows, Sample { seconds, resident }| {
        // Writing to a string cannot fail.
        let _ = writeln!(rows, "{seconds:.1},{resident}");
        rows
    });
    let made =
        file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, rows));
    made.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}
