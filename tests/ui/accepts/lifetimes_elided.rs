//! Elided lifetimes, also in the result.

use std::borrow::Cow;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Label<'a>(Cow<'a, str>, u32);

#[idempotent]
async fn label(text: &str) -> Result<Label<'_>, Error> {
    Ok(Label(text.into(), RUNS.next()))
}

#[test]
fn accepted() {
    assert_once(&RUNS, || label("x"), &Label("x".into(), 1));
}
