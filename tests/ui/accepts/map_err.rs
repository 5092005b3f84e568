//! `map_err` makes the error where its type has no `From`: as a closure and as a path.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "closure:{id}", map_err = |error| error.kind().as_str().to_owned())]
async fn by_closure(id: u64) -> Result<u32, String> {
    let _ = id;
    Err(format!("run {}", RUNS.next()))
}

fn described(error: Error) -> String {
    error.failure().unwrap_or_default().to_uppercase()
}

#[idempotent(key = "path:{id}", map_err = described)]
async fn by_path(id: u64) -> Result<u32, String> {
    let _ = id;
    Err(format!("run {}", RUNS.next()))
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(by_closure(7).await.unwrap_err(), "run 1");
        assert_eq!(by_closure(7).await.unwrap_err(), "previously_failed");
        assert_eq!(by_path(7).await.unwrap_err(), "run 2");
        assert_eq!(by_path(7).await.unwrap_err(), "RUN 2");
    });
    assert_eq!(RUNS.count(), 2);
}
