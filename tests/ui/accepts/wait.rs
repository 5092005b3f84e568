//! With `wait` a duplicate gets the runner's result; without it, `AlreadyProcessing`.

use std::time::Duration;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "waited:{id}", wait = "10s")]
async fn waited(id: u64) -> Result<u32, Error> {
    let _ = id;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(RUNS.next())
}

#[idempotent(key = "refused:{id}")]
async fn refused(id: u64) -> Result<u32, Error> {
    let _ = id;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(RUNS.next())
}

#[test]
fn accepted() {
    on_memory(async {
        let (a, b) = tokio::join!(waited(7), waited(7));
        assert_eq!((a.unwrap(), b.unwrap()), (1, 1));
        let (a, b) = tokio::join!(refused(7), refused(7));
        assert_eq!(a.unwrap(), 2);
        assert_eq!(b.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    });
}
