//! The facade and the attribute as another crate hands them on.

use idem_ui::idempotency::{Error, idempotent};
use idem_ui::{Runs, assert_once};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}", crate = idem_ui::idempotency)]
async fn place(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(7), &1);
}
