//! A method of a generic type, with an error type of its own bounds.

use std::fmt::Display;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Shop<T>(T);

impl<T: Display> Shop<T> {
    #[idempotent(key = "shop:{self.0}:{id}")]
    async fn place<E: From<Error>>(&self, id: u64) -> Result<String, E> {
        Ok(format!("{} {id} {}", self.0, RUNS.next()))
    }
}

static SHOP: Shop<&str> = Shop("eu");

#[test]
fn accepted() {
    assert_once(&RUNS, || SHOP.place::<Error>(7), &"eu 7 1".to_owned());
}
