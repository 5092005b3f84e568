//! The thread that drives the storages' connections.
//!
//! A socket belongs to the tokio runtime that it was opened on, and a task runs on the one that it was spawned on. Both stand still with
//! the thread of that runtime: when a handler computes, when nobody drives a current-thread runtime any more, when a runtime is dropped.
//! actix-web has such a runtime for each worker. What several runtimes share (connections, batches, wake-ups) would stand still with the
//! one that happened to start it, so it lives here: on a runtime of the library's own, with one thread, where no user code runs that
//! could block it.
//!
//! The thread starts with the first storage that needs it and lasts as long as the process.

use std::future::pending;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

static DRIVER: OnceLock<Option<Handle>> = OnceLock::new();

/// The driver's runtime; the caller's own where the process may not start a thread.
///
/// # Panics
///
/// Where there is neither: call it on a tokio runtime.
fn handle() -> Handle {
    DRIVER.get_or_init(start).clone().unwrap_or_else(Handle::current)
}

fn start() -> Option<Handle> {
    let started = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let handle = runtime.handle().clone();
        let drive = move || runtime.block_on(pending::<()>());
        thread::Builder::new().name("idempotency".to_owned()).spawn(drive).map(|_| handle)
    });
    started
        .inspect_err(|error| {
            tracing::warn!(%error, "storages are driven by the runtime of their callers: no thread can be started");
        })
        .ok()
}

/// Runs a task on the driver's thread. It goes on when its handle is dropped.
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    handle().spawn(task)
}
