//! An orderly end: no more requests, then the bodies and records that are under way, then the process.

use std::time::Duration;

use axum::Router;
use idempotency::Idempotency;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long the platform waits between SIGTERM and SIGKILL, less a little.
const PATIENCE: Duration = Duration::from_secs(25);

pub(crate) async fn serve(router: Router, idem: Idempotency) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let stopped = async move {
        terminated.recv().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
    // Clients may have gone away, and their requests with them; what `on_cancel = "finish"` keeps up is brought to its end here, and so are
    // results that the storage would not take at once. What is left is taken over by others when its lease is over.
    let left = idem.drain_within(PATIENCE).await;
    anyhow::ensure!(left == 0, "{left} calls are not over");
    println!("nothing is left");
    Ok(())
}
