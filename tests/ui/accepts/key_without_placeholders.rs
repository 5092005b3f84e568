//! A key without placeholders is a prefix of the hash of the arguments.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "addition")]
async fn add(a: u32, b: u32) -> Result<String, Error> {
    let run = RUNS.next();
    let key = idempotency::current().unwrap().key().to_string();
    assert!(key.starts_with("addition:j1-"), "{key}");
    Ok(format!("{a} + {b}, run {run}"))
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(add(1, 2).await.unwrap(), "1 + 2, run 1");
        assert_eq!(add(1, 2).await.unwrap(), "1 + 2, run 1");
        assert_eq!(add(2, 1).await.unwrap(), "2 + 1, run 2");
    });
}
