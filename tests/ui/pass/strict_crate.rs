//! A crate that denies every warning.

#![deny(warnings, missing_docs, unused, rust_2018_idioms, unused_qualifications)]

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

/// Places an order.
#[idempotent(key = "order:{id}:{a}", skip(_attempt), tenant = note)]
pub async fn place(
    id: u64,
    mut note: String,
    (a, _): (u32, u32),
    _attempt: u32,
    _hashed: u32,
) -> Result<String, Error> {
    const SUFFIX: &str = "!";
    note.push_str(SUFFIX);
    Ok(format!("{id} {note} {a} {}", RUNS.next()))
}

fn main() {
    let call = || place(7, "n".to_owned(), (1, 2), 3, 4);
    assert_once(&RUNS, call, &"7 n! 1 1".to_owned());
}
