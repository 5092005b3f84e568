//! `#[cfg]` on arguments: one that is not there is neither hashed nor taken apart.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}")]
async fn place(
    id: u32,
    #[cfg(test)] note: &str,
    #[cfg(any())] missing: Missing,
    #[cfg(any())] (a, b): Missing,
    #[cfg(test)] (a, b): (u32, u32),
    #[cfg_attr(any(), cfg(any()))] last: u32,
) -> Result<u32, Error> {
    assert_eq!(note, "n");
    Ok(id + a + b + last + RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(1, "n", (2, 3), 4), &11);
}
