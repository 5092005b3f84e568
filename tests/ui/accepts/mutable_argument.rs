//! `mut` arguments: the key and the hash see the values before the body changes them.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "lines:{name}")]
async fn append(mut name: String, mut lines: Vec<String>) -> Result<Vec<String>, Error> {
    name.push_str(&RUNS.next().to_string());
    lines.push(name);
    Ok(lines)
}

#[test]
fn accepted() {
    assert_once(
        &RUNS,
        || append("n".to_owned(), vec!["a".to_owned()]),
        &["a".to_owned(), "n1".to_owned()].to_vec(),
    );
}
