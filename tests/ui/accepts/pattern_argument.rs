//! Arguments that are patterns, with a key of their parts; `_` is hashed as well.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Point {
    x: u32,
    y: u32,
}

#[derive(Serialize)]
struct Id(u64);

#[idempotent(key = "place:{x}:{b}:{id}:{c}")]
async fn place(
    Point { x, y: mut height }: Point,
    (a, (mut b, _)): (u32, (String, u8)),
    Id(id): Id,
    &c: &char,
    _: u8,
) -> Result<(u32, String), Error> {
    height += a + x;
    b.push_str(&format!("-{id}{c}"));
    assert_eq!(idempotency::current().unwrap().key().as_str(), "place:(1):(b):(7):(c)");
    Ok((height + RUNS.next(), b))
}

static ROWS: Runs = Runs::new();

/// `x` is used, although the body does not use it.
#[deny(unused_variables)]
#[idempotent(key = "row:{x}")]
async fn row(Point { x, y }: Point) -> Result<u32, Error> {
    Ok(y + ROWS.next())
}

#[test]
fn accepted() {
    assert_once(
        &RUNS,
        || place(Point { x: 1, y: 2 }, (3, ("b".to_owned(), 0)), Id(7), &'c', 0),
        &(7, "b-7c".to_owned()),
    );
    assert_once(&ROWS, || row(Point { x: 1, y: 2 }), &3);
}
