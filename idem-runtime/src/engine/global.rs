//! The handle of a call without an explicit one: the task's override, else the global handle.

use once_cell::sync::OnceCell;

use super::handle::Idempotency;
use crate::error::{Error, ErrorKind};
use crate::sync::task_local;

static GLOBAL: OnceCell<Idempotency> = OnceCell::new();

task_local! {
    static OVERRIDE: Idempotency;
}

/// The handle that [`with`] has given to a task, for another task.
#[derive(Default)]
pub(super) struct HandleOverride(Option<Idempotency>);

impl HandleOverride {
    pub(super) fn current() -> Self {
        Self(OVERRIDE.try_with(Clone::clone).ok())
    }

    pub(super) async fn scope<F: Future>(self, future: F) -> F::Output {
        match self.0 {
            Some(idem) => with(idem, future).await,
            None => future.await,
        }
    }
}

/// Makes `idem` the handle of every annotated function without another. Call it once, at start-up.
///
/// # Errors
///
/// [`AlreadyConfigured`](ErrorKind::AlreadyConfigured) if it was called before: the first handle
/// stays.
pub fn set_global(idem: Idempotency) -> Result<(), Error> {
    GLOBAL.set(idem).map_err(|_| {
        Error::new(ErrorKind::AlreadyConfigured, "the global storage was set before and stays")
    })
}

/// Runs `future` with `idem` as the handle of the annotated functions that it calls: for tests and
/// tenants. Spawned tasks do not inherit it: wrap their futures too,
/// `tokio::spawn(with(handle()?, future))`, or give the functions the handle (`with = …`).
///
/// ```
/// # use idem_runtime as idempotency;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// let idem = idempotency::Idempotency::memory();
/// idempotency::with(idem, async {
///     assert!(idempotency::handle().is_ok());
/// })
/// .await;
/// # Ok(())
/// # }
/// ```
pub async fn with<F: Future>(idem: Idempotency, future: F) -> F::Output {
    OVERRIDE.scope(idem, future).await
}

/// The handle that an annotated function would use here.
///
/// # Errors
///
/// [`NotConfigured`](ErrorKind::NotConfigured) if there is none.
pub fn handle() -> Result<Idempotency, Error> {
    let current = HandleOverride::current().0;
    current.or_else(|| GLOBAL.get().cloned()).ok_or_else(|| {
        Error::new(
            ErrorKind::NotConfigured,
            "no storage is configured: call `idempotency::set_global` at start-up, or give the operation its handle (`with = …`); a task \
             that was spawned inside of `idempotency::with` does not inherit it: wrap its future in `with` as well",
        )
    })
}
