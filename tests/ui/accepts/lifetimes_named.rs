//! Named lifetimes, also in the result.

use std::borrow::Cow;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Label<'a> {
    text: Cow<'a, str>,
    run: u32,
}

#[idempotent(key = "label:{text}")]
async fn label<'a, 'b: 'a>(text: &'a str, _other: &'b str) -> Result<Label<'a>, Error> {
    Ok(Label { text: Cow::Borrowed(text), run: RUNS.next() })
}

#[test]
fn accepted() {
    assert_once(&RUNS, || label("x", "y"), &Label { text: "x".into(), run: 1 });
}
