//! Graceful shutdown: stop accepting requests, wait for bodies and writes in flight, then exit.

use std::time::Duration;

use axum::Router;
use idempotency::Idempotency;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A little less than the platform's pause between SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_secs(25);

pub(crate) async fn serve(router: Router, idem: Idempotency) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let stopped = async move {
        terminated.recv().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
    // Some clients have disconnected. Their bodies that go on under `on_cancel = "finish"` finish
    // here, and so do writes that the storage did not accept at once. Calls that remain are taken
    // over by other processes after their lease.
    let left = idem.drain_within(PATIENCE).await;
    anyhow::ensure!(left == 0, "{left} calls are still in flight");
    println!("all calls have finished");
    Ok(())
}
