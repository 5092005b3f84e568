//! The runtimes of a worker: a service has more than one, and some of them do not go on.
//!
//! actix-web has a current-thread runtime for each of its threads. A handler that computes stops one of them, and with it everything
//! that runs there. What the others share with it must go on.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A runtime that a caller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// That of the process, with two threads.
    Shared,
    /// One with a thread of its own, which stands still again and again.
    StandsStill,
    /// One that ends in the middle of whatever is under way, and is followed by another.
    Ends,
}

impl Home {
    /// That of the caller with this number.
    pub fn of(caller: u32) -> Self {
        match caller % 4 {
            2 => Self::StandsStill,
            3 => Self::Ends,
            _ => Self::Shared,
        }
    }
}

/// Makes calls on a runtime of their own whose thread stands still for up to two leases at a time.
pub fn stand_still<F>(mut rng: Rng, lease: Duration, calls: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    thread::spawn(move || {
        current_thread().block_on(async {
            let standing = async {
                loop {
                    sleep(Duration::from_millis(rng.u64(50..800))).await;
                    thread::sleep(lease.mul_f64(rng.f64() * 2.0));
                }
            };
            tokio::select! {
                () = calls => {}
                () = standing => {}
            }
        });
    })
}

/// Makes calls on runtimes that end, one after the other, until `stop`.
pub fn end_and_begin<C, F>(mut rng: Rng, stop: CancellationToken, calls: C) -> JoinHandle<()>
where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    thread::spawn(move || {
        while !stop.is_cancelled() {
            let runtime = current_thread();
            let calls = runtime.spawn(calls());
            let life = Duration::from_millis(rng.u64(100..2500));
            // Where nobody stops it the runtime is dropped with the task.
            let _ = runtime.block_on(async { timeout(life, calls).await });
        }
    })
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be started")
}
