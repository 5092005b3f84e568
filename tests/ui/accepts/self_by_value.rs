//! A method that consumes `self`, and one that changes it before.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Order {
    id: u64,
    lines: Vec<String>,
}

impl Order {
    #[idempotent(key = "order:{self.id}")]
    async fn submit(mut self) -> Result<Vec<String>, Error> {
        self.lines.push(RUNS.next().to_string());
        Ok(self.lines)
    }
}

#[test]
fn accepted() {
    assert_once(
        &RUNS,
        || Order { id: 7, lines: vec!["a".into()] }.submit(),
        &["a".to_owned(), "1".to_owned()].to_vec(),
    );
}
