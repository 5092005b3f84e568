//! The handle of a call without an explicit one: the task's override, else the global handle.

use once_cell::sync::OnceCell;

use super::handle::Idempotency;
use super::task_override::Override;
use crate::error::{Error, ErrorKind};

static GLOBAL: OnceCell<Idempotency> = OnceCell::new();

/// Makes `idem` the handle of every annotated function without another. Call it once, at start-up.
///
/// # Errors
///
/// [`AlreadyConfigured`](ErrorKind::AlreadyConfigured) when it was called before: the first handle stays.
pub fn set_global(idem: Idempotency) -> Result<(), Error> {
    GLOBAL.set(idem).map_err(|_| {
        Error::new(ErrorKind::AlreadyConfigured, "the global storage was set before and stays")
    })
}

/// Runs `future` with `idem` as the handle of the annotated functions it calls: for tests and tenants. Tasks that it spawns do not
/// inherit it: wrap their futures as well, `tokio::spawn(with(handle()?, future))`, or give the functions the handle (`with = …`).
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
    Override(Some(idem.0)).scope(future).await
}

/// The handle that an annotated function would use here.
///
/// # Errors
///
/// [`NotConfigured`](ErrorKind::NotConfigured) when there is none.
pub fn handle() -> Result<Idempotency, Error> {
    if let Override(Some(inner)) = Override::current() {
        return Ok(Idempotency(inner));
    }
    GLOBAL.get().cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::NotConfigured,
            "no storage is configured: call `idempotency::set_global` at start-up, or give the operation its handle (`with = …`); a task \
             that was spawned inside of `idempotency::with` does not inherit it: wrap its future in `with` as well",
        )
    })
}
