//! A body of 64 KiB does not make the future of the function large.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<u32, Error> {
    let large = [id as u8; 64 * 1024];
    tokio::task::yield_now().await;
    Ok(u32::from(large[17]) + RUNS.next())
}

#[test]
fn accepted() {
    assert!(size_of_val(&place(7)) < 8 * 1024, "{}", size_of_val(&place(7)));
    assert_once(&RUNS, || place(7), &8);
}
