//! An annotated function in the body of another one.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "outer:{id}")]
async fn outer(id: u32) -> Result<u32, Error> {
    #[idempotent(key = "inner:{id}")]
    async fn inner(id: u32) -> Result<u32, Error> {
        Ok(id + RUNS.next())
    }
    let (a, b) = (inner(id).await?, inner(id).await?);
    assert_eq!(a, b);
    Ok(a + b)
}

#[test]
fn accepted() {
    assert_once(&RUNS, || outer(7), &16);
}
