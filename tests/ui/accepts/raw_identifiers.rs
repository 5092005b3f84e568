//! Raw identifiers as names of functions, arguments and fields.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Order {
    r#type: u32,
}

#[idempotent(key = "place:{type}:{match.type}")]
async fn r#move(r#type: u32, r#match: Order) -> Result<u32, Error> {
    assert_eq!(idempotency::current().unwrap().operation(), "move");
    Ok(r#type + r#match.r#type + RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || r#move(1, Order { r#type: 2 }), &4);
}
