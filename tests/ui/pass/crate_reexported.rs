//! The facade and the attribute as another crate hands them on.

use idem_tests::idempotency::{Error, idempotent};
use idem_tests::{Runs, assert_once};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}", crate = idem_tests::idempotency)]
async fn place(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(RUNS.next())
}

fn main() {
    assert_once(&RUNS, || place(7), &1);
}
