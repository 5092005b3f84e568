//! Doc comments, `must_use`, `inline`, `allow`, and attributes inside of the body.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, Idempotency, idempotent};

static RUNS: Runs = Runs::new();

/// Places an order.
#[must_use = "the receipt is the proof"]
#[inline]
#[idempotent(key = "order:{id}")]
#[allow(non_snake_case)]
#[doc(alias = "order")]
/// Once.
pub async fn Place(#[allow(unused_variables)] id: u32) -> Result<u32, Error> {
    #![allow(unused_mut)]
    let mut run = RUNS.next();
    Ok(run)
}

#[idempotent(key = "main")]
#[tokio::main(flavor = "current_thread")]
async fn other_main() -> Result<u32, Error> {
    Ok(RUNS.next())
}

fn main() {
    assert_once(&RUNS, || Place(7), &1);
    idempotency::set_global(Idempotency::memory()).unwrap();
    assert_eq!(other_main().unwrap(), 2);
    assert_eq!(other_main().unwrap(), 2);
    assert_eq!(RUNS.count(), 2);
}
