//! Time that passes only when the schedule says so, in place of `tokio::time`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::{Add, Sub};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::record::{Timestamp, millis};

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::new(Timers::default());
}

/// Who waits for which time. The tasks of one execution share a thread.
#[derive(Default)]
struct Timers {
    now: Instant,
    /// By time and then by number, so that equal times come in a fixed order.
    waiting: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
}

/// Starts again at the beginning of time, with nobody waiting.
pub fn reset() {
    let before = TIMERS.take();
    drop(before);
}

/// Lets time pass until the next one for whom somebody waits, and wakes all who wait for that; false when nobody does.
pub fn pass() -> bool {
    let woken: Vec<Waker> = TIMERS.with_borrow_mut(|timers| {
        let Some((&(next, _), _)) = timers.waiting.first_key_value() else { return Vec::new() };
        timers.now = timers.now.max(next);
        let later = timers.waiting.split_off(&(next, u64::MAX));
        std::mem::replace(&mut timers.waiting, later).into_values().collect()
    });
    let passes = !woken.is_empty();
    woken.into_iter().for_each(Waker::wake);
    passes
}

/// A moment, counted from before the beginning of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

/// The beginning, late enough that code may reckon back from it.
impl Default for Instant {
    fn default() -> Self {
        Self(Duration::from_secs(1_000_000))
    }
}

impl Instant {
    pub fn now() -> Self {
        TIMERS.with_borrow(|timers| timers.now)
    }

    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// The real time stands still, so that this one counts as paused.
    pub fn into_std(self) -> std::time::Instant {
        static BEGINNING: OnceLock<std::time::Instant> = OnceLock::new();
        *BEGINNING.get_or_init(std::time::Instant::now)
    }

    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }

    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The same time for storages.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock;

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(millis(Instant::now().0))
    }
}

pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

pub fn sleep_until(until: Instant) -> Sleep {
    Sleep { until, number: None }
}

#[must_use]
pub struct Sleep {
    until: Instant,
    number: Option<u64>,
}

impl Sleep {
    fn forget(&mut self) {
        if let Some(number) = self.number.take() {
            let waker =
                TIMERS.with_borrow_mut(|timers| timers.waiting.remove(&(self.until, number)));
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.forget();
        if self.until <= Instant::now() {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        self.number = Some(TIMERS.with_borrow_mut(|timers| {
            timers.numbers += 1;
            timers.waiting.insert((self.until, timers.numbers), waker);
            timers.numbers
        }));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

/// It was not in time.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed;

pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(Instant::now() + limit, future).await
}

pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut late) = (pin!(future), pin!(sleep_until(deadline)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => late.as_mut().poll(context).map(|()| Err(Elapsed)),
    })
    .await
}
