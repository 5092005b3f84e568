//! `#[instrument]` above and below.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};
use tracing::instrument;

static RUNS: Runs = Runs::new();

#[instrument(skip(secret))]
#[idempotent(key = "above:{id}")]
async fn above(id: u32, secret: &str) -> Result<u32, Error> {
    Ok(id + secret.len() as u32 + RUNS.next())
}

#[idempotent(key = "below:{id}")]
#[instrument(err, ret)]
async fn below(id: u32, (a, b): (u32, u32)) -> Result<u32, Error> {
    Ok(id + a + b + RUNS.next())
}

fn main() {
    on_memory(async {
        assert_eq!(above(1, "abc").await.unwrap(), 5);
        assert_eq!(above(1, "abc").await.unwrap(), 5);
        assert_eq!(below(1, (1, 1)).await.unwrap(), 5);
        assert_eq!(below(1, (1, 1)).await.unwrap(), 5);
    });
    assert_eq!(RUNS.count(), 2);
}
