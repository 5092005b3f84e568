//! Callers that make one call after the other, until so many calls are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

/// One in so many calls is timed where there are many: reading the clock would show in calls that take a microsecond.
const TIMED: usize = 16;

/// What a load measured.
#[derive(Clone, Default)]
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// Time on the processor, of this process.
    pub(crate) cpu: Duration,
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    /// Of the calls that were timed.
    pub(crate) latencies: Vec<Duration>,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds on the processor for a call. Other processes disturb this far less than the time on the clock.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.calls as f64
    }
}

/// A caller's turns. Which caller makes which call is decided as they come, so that none is left behind at the end.
pub(crate) struct Turns {
    next: Arc<AtomicUsize>,
    calls: usize,
    stride: usize,
    started: Option<Instant>,
    latencies: Vec<Duration>,
    failed: usize,
}

impl Turns {
    /// The next call's number; the one before has ended.
    pub(crate) fn next(&mut self) -> Option<usize> {
        self.latencies.extend(self.started.take().map(|started| started.elapsed()));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.calls {
            return None;
        }
        self.started = number.is_multiple_of(self.stride).then(Instant::now);
        Some(number)
    }

    /// Counts a call that went wrong.
    pub(crate) fn check<T, E>(&mut self, result: Result<T, E>) {
        self.failed += usize::from(std::hint::black_box(result).is_err());
    }
}

/// Makes `calls` calls from `callers` tasks.
pub(crate) async fn drive<F>(callers: usize, calls: usize, caller: impl Fn(Turns) -> F) -> Sample
where
    F: Future<Output = Turns> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let stride = if calls > 64 * TIMED { TIMED } else { 1 };
    let callers: Vec<_> = (0..callers.min(calls))
        .map(|_| {
            let next = Arc::clone(&next);
            caller(Turns { next, calls, stride, started: None, latencies: Vec::new(), failed: 0 })
        })
        .collect();
    let (start, cpu_before) = (Instant::now(), cpu());
    let ended = callers.into_iter().collect::<JoinSet<_>>().join_all().await;
    let (elapsed, cpu) = (start.elapsed(), cpu().saturating_sub(cpu_before));
    let failed = ended.iter().map(|turns| turns.failed).sum();
    let latencies = ended.into_iter().flat_map(|turns| turns.latencies).collect();
    Sample { elapsed, cpu, calls, failed, latencies }
}

/// What this process has used; nothing where the system does not tell.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
