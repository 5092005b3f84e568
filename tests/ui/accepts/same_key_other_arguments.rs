//! The same key with other arguments is refused, and so is the same key of another operation; `name` makes two functions one operation.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}", name = "place")]
async fn place(id: u64, note: &str) -> Result<String, Error> {
    Ok(format!("{id} {note} {}", RUNS.next()))
}

#[idempotent(key = "order:{id}")]
async fn cancel(id: u64, note: &str) -> Result<String, Error> {
    Ok(format!("{id} {note} {}", RUNS.next()))
}

#[idempotent(key = "order:{id}", name = "place")]
async fn place_from_queue(id: u64, note: String) -> Result<String, Error> {
    Ok(format!("{id} {note} {}", RUNS.next()))
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(place(7, "a").await.unwrap(), "7 a 1");
        assert_eq!(place(7, "b").await.unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!(cancel(7, "a").await.unwrap_err().kind(), ErrorKind::Mismatch);
        assert_eq!(place_from_queue(7, "a".into()).await.unwrap(), "7 a 1");
    });
    assert_eq!(RUNS.count(), 1);
}
