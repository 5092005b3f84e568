//! The requests under way, with or without a connected client.

use std::fmt;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

/// The requests that a layer is handling. Clones share them.
///
/// A handler runs to completion even if its client disconnects. To shut down without losing a
/// request, stop the server first, then wait for the rest:
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
    /// The number of requests under way.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no request is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until no request is under way. Call it after the server has stopped accepting
    /// requests.
    ///
    /// Responses that the storage did not accept are written in the background while their lease
    /// lasts; [`Idempotency::drain`](idem_runtime::Idempotency::drain) waits for these as well.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn drain(&self) {
        self.0.close();
        self.0.wait().await;
    }

    /// `handling`, counted from now until it completes.
    pub(crate) fn track<F: Future>(&self, handling: F) -> TrackedFuture<F> {
        self.0.track_future(handling)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("len", &self.len()).finish()
    }
}
