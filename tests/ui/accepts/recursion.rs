//! A body may call the operation with another key; with its own it gets `Reentrant` instead of waiting for itself.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "factorial:{n}")]
async fn factorial(n: u64) -> Result<u64, Error> {
    RUNS.next();
    if n == 0 {
        return Ok(1);
    }
    Ok(n * Box::pin(factorial(n - 1)).await?)
}

#[idempotent(key = "endless:{n}", wait = "10s")]
async fn endless(n: u64) -> Result<u64, Error> {
    Box::pin(endless(n)).await
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(factorial(3).await.unwrap(), 6);
        assert_eq!(factorial(3).await.unwrap(), 6);
        assert_eq!(RUNS.count(), 4);
        assert_eq!(endless(1).await.unwrap_err().kind(), ErrorKind::Reentrant);
    });
}
