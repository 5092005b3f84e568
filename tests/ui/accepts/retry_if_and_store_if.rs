//! `retry_if` and `store_if` release the key for what they match: as closures and as paths.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Empty { code: u32 },
    Ours(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Ours(error.failure().unwrap_or("none").to_owned())
    }
}

impl Refusal {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty { .. })
    }
}

fn is_even(value: &u32) -> bool {
    value % 2 == 0
}

#[idempotent(key = "path:{id}", retry_if = Refusal::is_empty, store_if = is_even)]
async fn by_path(id: u64) -> Result<u32, Refusal> {
    let _ = id;
    match RUNS.next() {
        1 => Err(Refusal::Empty { code: 1 }),
        run => Ok(run + 1),
    }
}

#[idempotent(
    key = "closure:{id}",
    retry_if = |error| error.is_empty(),
    store_if = |value| value.is_multiple_of(2),
    on_error = "replay"
)]
async fn by_closure(id: u64) -> Result<u32, Refusal> {
    let _ = id;
    match RUNS.next() {
        4 => Err(Refusal::Empty { code: 4 }),
        run => Ok(run),
    }
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(by_path(7).await, Err(Refusal::Empty { code: 1 }));
        assert_eq!(by_path(7).await, Ok(3));
        assert_eq!(by_path(7).await, Ok(4));
        assert_eq!(by_path(7).await, Ok(4));
        assert_eq!(by_closure(7).await, Err(Refusal::Empty { code: 4 }));
        assert_eq!(by_closure(7).await, Ok(5));
        assert_eq!(by_closure(7).await, Ok(6));
        assert_eq!(by_closure(7).await, Ok(6));
    });
    assert_eq!(RUNS.count(), 6);
}
