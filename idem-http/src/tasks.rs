//! The requests that are being handled, whether their clients are still there or not.

use std::fmt;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

/// The requests that a layer is handling. Clones are the same.
///
/// A request that is being handled goes on when its client goes away. To shut a service down without losing one, first stop the server, then
/// wait for the rest:
///
/// ```no_run
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// # async fn example(listener: tokio::net::TcpListener, router: axum::Router, stop: std::future::Ready<()>) -> std::io::Result<()> {
/// let idem = idempotency::Idempotency::memory();
/// let layer = idempotency::http::IdempotencyLayer::new(idem.clone(), idempotency::http::anonymous());
/// let tasks = layer.tasks();
/// axum::serve(listener, router.layer(layer)).with_graceful_shutdown(stop).await?;
/// tasks.drain().await;
/// idem.drain_within(std::time::Duration::from_secs(20)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// How many requests are being handled.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until none is: call it after the server has stopped taking requests.
    ///
    /// A response that the storage would not take is written in the background after that, as long as its lease lasts;
    /// [`Idempotency::drain`](idem_runtime::Idempotency::drain) waits for those as well.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn drain(&self) {
        self.0.close();
        self.0.wait().await;
    }

    /// `handling`, counted from now until it ends.
    pub(crate) fn track<F: Future>(&self, handling: F) -> TrackedFuture<F> {
        self.0.track_future(handling)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("len", &self.len()).finish()
    }
}
