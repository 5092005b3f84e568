//! `on_error = "release"`: the next call runs again.

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

#[idempotent(key = "order:{id}", on_error = "release")]
async fn place(id: u64) -> Result<u32, Refusal> {
    let _ = id;
    match RUNS.next() {
        1 => Err(Refusal::Empty { code: 1 }),
        run => Ok(run),
    }
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(place(7).await, Err(Refusal::Empty { code: 1 }));
        assert_eq!(place(7).await, Ok(2));
        assert_eq!(place(7).await, Ok(2));
    });
    assert_eq!(RUNS.count(), 2);
}
