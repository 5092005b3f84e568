//! Const parameters.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "sum:{id}", skip(values))]
async fn sum<const N: usize>(id: u64, values: [u32; N]) -> Result<u32, Error> {
    let _ = id;
    Ok(values.iter().sum::<u32>() + N as u32 * RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || sum(7, [1, 2, 3]), &9);
}
