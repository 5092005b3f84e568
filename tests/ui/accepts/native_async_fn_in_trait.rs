//! A native async fn in the impl of a trait, and a default method.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

trait Shop {
    async fn place(&self, id: u64) -> Result<u32, Error>;

    #[idempotent(key = "twice:{id}")]
    async fn place_twice(&self, id: u64) -> Result<u32, Error> {
        Ok(self.place(id).await? + self.place(id).await?)
    }
}

struct Europe;

impl Shop for Europe {
    #[idempotent(key = "order:{id}")]
    async fn place(&self, id: u64) -> Result<u32, Error> {
        Ok(id as u32 + RUNS.next())
    }
}

#[test]
fn accepted() {
    assert_once(&RUNS, || Europe.place_twice(7), &16);
}
