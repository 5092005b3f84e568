//! Threads of the library's own, which no runtime of the application's can stop.
//!
//! A socket belongs to the tokio runtime that it was opened on, and a task runs on the one that it was spawned on. Both stand still with
//! the thread of that runtime: when a handler computes, when nobody drives a current-thread runtime any more, when a runtime is dropped.
//! actix-web has such a runtime for each worker. What several runtimes share would stand still with the one that happened to start it, so
//! it runs here:
//!
//! | thread | runs | which is |
//! |---|---|---|
//! | `idempotency-io` | [`spawn`] | the library's code: connections, batches, wake-ups; and the hooks of a database pool |
//! | `idempotency` | [`engine`] | heartbeats and writes in the background, with the storage's verbs and the hooks |
//!
//! They are two because a storage or a hook of the application's may block its thread, against its contract. That then delays the leases
//! of bodies whose own runtimes stand still at the same time, and no connection.
//!
//! Each thread starts with the first task for it and lasts as long as the process. What only one runtime uses, and may stand still with it, can run
//! there instead: [`Home`].

use std::cell::RefCell;
use std::future::pending;
use std::sync::OnceLock;
use std::thread;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle};
#[cfg(any(feature = "redis", feature = "_sql"))]
use tokio::task::JoinHandle;

static ENGINE: OnceLock<Option<Handle>> = OnceLock::new();
#[cfg(any(feature = "redis", feature = "_sql"))]
static IO: OnceLock<Option<Handle>> = OnceLock::new();

thread_local! {
    /// Whose future [`begin_on`] polls.
    static BEGUN_BY: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The runtime for heartbeats and writes in the background; `None` where the process may not start a thread.
pub(crate) fn engine() -> Option<&'static Handle> {
    ENGINE.get_or_init(|| start("idempotency")).as_ref()
}

/// Polls a future once, here; true when that was its end. Its timers and connections belong to `runtime`, which is to go on with it.
pub(crate) fn begin_on(runtime: &Handle, future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    // In a destructor of the thread itself no runtime can be entered.
    if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
        return false;
    }
    let caller = Handle::try_current().ok();
    let _entered = runtime.enter();
    BEGUN_BY.set(caller);
    let is_over = future.now_or_never().is_some();
    BEGUN_BY.set(None);
    is_over
}

/// The application's runtime for which something is done now; `None` on the library's own threads, and where there is none.
#[cfg(feature = "redis")]
pub(crate) fn caller() -> Option<Handle> {
    let caller = BEGUN_BY.with_borrow(Option::clone).or_else(|| Handle::try_current().ok())?;
    let is_ours = [&ENGINE, &IO]
        .into_iter()
        .any(|ours| matches!(ours.get(), Some(Some(ours)) if ours.id() == caller.id()));
    (!is_ours).then_some(caller)
}

/// Where tasks run.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On the library's thread for connections.
    Library,
    /// On the runtime of whoever starts them.
    Caller,
}

#[cfg(feature = "redis")]
impl Home {
    /// Runs a task there. It goes on when its handle is dropped.
    pub(crate) fn spawn<F>(self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match (self, caller()) {
            (Self::Caller, Some(caller)) => caller.spawn(task),
            _ => spawn(task),
        }
    }
}

fn start(name: &str) -> Option<Handle> {
    let started = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let handle = runtime.handle().clone();
        let drive = move || runtime.block_on(pending::<()>());
        thread::Builder::new().name(name.to_owned()).spawn(drive).map(|_| handle)
    });
    started
        .inspect_err(|error| {
            tracing::warn!(%error, "no thread can be started: what runtimes share is driven by the runtime that starts it");
        })
        .ok()
}

/// The runtime for connections; the caller's own where the process may not start a thread.
#[cfg(any(feature = "redis", feature = "_sql"))]
fn io() -> Option<Handle> {
    IO.get_or_init(|| start("idempotency-io")).clone().or_else(|| Handle::try_current().ok())
}

/// Runs a task on the thread for connections. It goes on when its handle is dropped.
///
/// # Panics
///
/// Where no thread can be started and the caller has no runtime either.
#[cfg(any(feature = "redis", feature = "_sql"))]
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    io().unwrap_or_else(Handle::current).spawn(task)
}

/// Like [`spawn`] from where there may be no runtime, such as in a destructor: without any the task is dropped.
#[cfg(feature = "redis")]
pub(crate) fn spawn_anywhere<F>(task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(io) = io() {
        io.spawn(task);
    }
}
