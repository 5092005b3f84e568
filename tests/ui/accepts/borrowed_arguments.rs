//! Borrowed strings, values and slices.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Order {
    id: u64,
}

#[idempotent(key = "place:{region}:{order.id}")]
async fn place(region: &str, order: &Order, lines: &[String]) -> Result<String, Error> {
    Ok(format!("{region} {} {} {}", order.id, lines.join("+"), RUNS.next()))
}

#[test]
fn accepted() {
    let (order, lines) = (Order { id: 7 }, ["a".to_owned(), "b".to_owned()]);
    assert_once(&RUNS, || place("eu", &order, &lines), &"eu 7 a+b 1".to_owned());
}
