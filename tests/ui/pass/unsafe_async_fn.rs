//! An `unsafe async fn` stays one.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}")]
async unsafe fn place(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(RUNS.next())
}

fn main() {
    assert_once(&RUNS, || unsafe { place(7) }, &1);
}
