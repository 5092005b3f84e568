//! The context of a running body.

use std::sync::Arc;

use super::flight::Flight;
use crate::key::Key;
use crate::record::{Fence, OwnerId};
use crate::sync::time::{Instant, sleep_until};
use crate::sync::{select, task_local};

task_local! {
    static CURRENT: Arc<Flight>;
}

/// The call whose body is running: its key and fence, to pass downstream.
#[derive(Clone)]
pub struct Context(Arc<Flight>);

/// The call whose body runs in this task. `None` outside a body, in tasks that a body spawned, and
/// in a body that runs without a claim because its operation [fails
/// open](crate::Operation::fail_open).
///
/// ```
/// # use idem_runtime as idempotency;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// # use std::time::Duration;
/// let idem = idempotency::Idempotency::memory();
/// let fence = idem
///     .execute("payment:42", Duration::from_secs(900), async {
///         let call = idempotency::current().expect("a body has a context");
///         // Send the fence, so that the gateway can reject a stale writer.
///         Ok::<_, idempotency::Error>(call.fence().get())
///     })
///     .await?;
/// assert_eq!(fence, 1);
/// # Ok(())
/// # }
/// ```
pub fn current() -> Option<Context> {
    // A call that failed open owns nothing, and hides the outer call.
    parent().filter(|flight| flight.is_owner()).map(Context)
}

impl Context {
    /// Name of the operation.
    pub fn operation(&self) -> &str {
        &self.0.name.operation
    }

    /// The key, without namespace and tenant.
    pub fn key(&self) -> &Key {
        &self.0.name.key
    }

    /// The tenant, where the operation has one.
    pub fn tenant(&self) -> Option<&str> {
        self.0.name.tenant.as_deref()
    }

    /// The id of this claim.
    pub fn owner(&self) -> OwnerId {
        self.0.owner
    }

    /// Fencing token: higher than that of every previous owner, whether it died, was cancelled,
    /// panicked, or released the key, while the key's record is kept. That is for the ttl after a
    /// release, and for lease and ttl after the last renewal of an owner that died.
    pub fn fence(&self) -> Fence {
        self.0.fence()
    }

    /// 1 for the first run of a key, one more for each later owner, by takeover or after a release.
    pub fn attempt(&self) -> u64 {
        self.0.fence().get()
    }

    /// Resolves when another owner may run the body: stop working for this call then.
    ///
    /// In the body: when another owner has taken over, or the lease could not be renewed in time.
    /// In a task that the body spawned and that outlives it, also when the body was dropped or
    /// panicked, when the key was released, and when the outcome could not be recorded. Once a
    /// result or a failure is recorded, it never resolves: the body does not run again.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn lease_lost(&self) {
        let flight = &self.0;
        loop {
            let seen = flight.lease_end();
            if flight.is_lost() || seen.is_some_and(|lease_until| lease_until <= Instant::now()) {
                return;
            }
            let news = flight
                .until(|phase| (flight.is_lost() || phase.lease_until() != seen).then_some(()));
            match seen {
                Some(lease_until) => select! {
                    () = news => {}
                    () = sleep_until(lease_until) => {}
                },
                None => news.await,
            }
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("operation", &self.operation())
            .field("owner", &self.owner())
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}

/// The call in whose body a new one is made.
pub(crate) fn parent() -> Option<Arc<Flight>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Runs a body as the body of this call.
pub(crate) async fn scope<F: Future>(flight: Arc<Flight>, body: F) -> F::Output {
    CURRENT.scope(flight, body).await
}
