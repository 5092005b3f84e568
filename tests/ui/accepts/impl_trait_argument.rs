//! `impl Trait` arguments.

use std::fmt::Display;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}")]
async fn place(
    id: impl Display + Serialize,
    lines: impl AsRef<[u32]> + Serialize,
) -> Result<u32, Error> {
    assert_eq!(id.to_string(), "7");
    Ok(lines.as_ref().iter().sum::<u32>() + RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(7, vec![1, 2]), &4);
}
