//! `on_crash = "park"`: after a crash nobody runs the body again; with `"retry"` the next call does.

use std::time::Duration;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "parked:{id}", on_crash = "park")]
async fn parked(id: u64) -> Result<u32, Error> {
    let _ = (id, RUNS.next());
    std::future::pending().await
}

#[idempotent(key = "retried:{id}", on_crash = "retry")]
async fn retried(id: u64) -> Result<u32, Error> {
    let _ = id;
    match RUNS.next() {
        2 => std::future::pending().await,
        run => Ok(run),
    }
}

async fn cancelled<F: Future>(future: F) {
    assert!(tokio::time::timeout(Duration::from_millis(20), future).await.is_err());
    // What a cancellation does to the record goes on in the background.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[test]
fn accepted() {
    on_memory(async {
        cancelled(parked(7)).await;
        assert_eq!(parked(7).await.unwrap_err().kind(), ErrorKind::Indeterminate);
        assert_eq!(RUNS.count(), 1);
        cancelled(retried(7)).await;
        assert_eq!(retried(7).await.unwrap(), 3);
        assert_eq!(retried(7).await.unwrap(), 3);
    });
    assert_eq!(RUNS.count(), 3);
}
