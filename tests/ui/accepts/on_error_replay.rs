//! `on_error = "replay"`: the same typed error again.

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

#[idempotent(key = "order:{id}", on_error = "replay")]
async fn place(id: u64) -> Result<u32, Refusal> {
    let _ = id;
    Err(Refusal::Empty { code: RUNS.next() })
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(place(7).await, Err(Refusal::Empty { code: 1 }));
        assert_eq!(place(7).await, Err(Refusal::Empty { code: 1 }));
    });
    assert_eq!(RUNS.count(), 1);
}
