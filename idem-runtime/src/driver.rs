//! The library's own threads, which no runtime of the application can stop.
//!
//! A socket belongs to the tokio runtime that it was opened on, and a task runs on the one that it
//! was spawned on. Both stall with that runtime's thread: while a handler computes, when a
//! current-thread runtime is no longer driven, when a runtime is dropped. actix-web has such a
//! runtime for each worker. A resource shared by several runtimes would stall with the one that
//! happened to start it, so it runs here:
//!
//! | thread | entry point | runs |
//! |---|---|---|
//! | `idempotency-io` | [`spawn`] | library code: connections, batches, wake-ups; and a database pool's hooks |
//! | `idempotency` | [`engine`] | heartbeats and background writes, with the storage's verbs and the hooks |
//!
//! There are two because an application's storage or hook may block its thread, against its
//! contract. That delays only the leases of bodies whose own runtimes stall at the same time, and
//! no connection.
//!
//! Each thread starts with its first task and lives as long as the process. A resource that only
//! one runtime uses may run on that runtime instead: [`Home`].

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
    /// The runtime whose future [`begin_on`] is polling.
    static BEGUN_BY: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The runtime for heartbeats and background writes; `None` where the process cannot start a
/// thread.
pub(crate) fn engine() -> Option<&'static Handle> {
    ENGINE.get_or_init(|| start("idempotency")).as_ref()
}

/// Polls a future once on the current thread; returns whether it completed. Its timers and
/// connections belong to `runtime`, which then continues it.
pub(crate) fn begin_on(runtime: &Handle, future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    // A thread-local destructor cannot enter a runtime.
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

/// The application's runtime behind the current call; `None` on the library's own threads and
/// outside a runtime.
#[cfg(feature = "redis")]
pub(crate) fn caller() -> Option<Handle> {
    let caller = BEGUN_BY.with_borrow(Option::clone).or_else(|| Handle::try_current().ok())?;
    let is_ours = [&ENGINE, &IO]
        .into_iter()
        .any(|ours| matches!(ours.get(), Some(Some(ours)) if ours.id() == caller.id()));
    (!is_ours).then_some(caller)
}

/// The runtime of a task.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On the library's thread for connections.
    Library,
    /// On the caller's runtime.
    Caller,
}

#[cfg(feature = "redis")]
impl Home {
    /// Spawns a task there. Dropping its handle does not stop it.
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
            tracing::warn!(%error, "cannot start a background thread: shared connections and heartbeats run on the caller's runtime and stall with it");
        })
        .ok()
}

/// The runtime for connections; the caller's own where the process cannot start a thread.
#[cfg(any(feature = "redis", feature = "_sql"))]
fn io() -> Option<Handle> {
    IO.get_or_init(|| start("idempotency-io")).clone().or_else(|| Handle::try_current().ok())
}

/// Spawns a task on the thread for connections. Dropping its handle does not stop it.
///
/// # Panics
///
/// Panics where no thread can be started and the caller has no runtime either.
#[cfg(any(feature = "redis", feature = "_sql"))]
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    io().unwrap_or_else(Handle::current).spawn(task)
}

/// Like [`spawn`], for code that may run outside a runtime, such as a destructor: without any
/// runtime the task is dropped.
#[cfg(feature = "redis")]
pub(crate) fn spawn_anywhere<F>(task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(io) = io() {
        io.spawn(task);
    }
}
