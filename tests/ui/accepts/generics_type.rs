//! Type parameters, with bounds in the list and in a where clause.

use std::fmt::Display;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;
use serde::de::DeserializeOwned;

static RUNS: Runs = Runs::new();

#[idempotent(key = "echo:{id}")]
async fn echo<I: Display + Serialize, T>(id: I, value: T) -> Result<(T, u32), Error>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let _: &I = &id;
    Ok((value.clone(), RUNS.next()))
}

#[test]
fn accepted() {
    assert_once(&RUNS, || echo(7, "x".to_owned()), &("x".to_owned(), 1));
}
