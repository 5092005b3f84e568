//! A method with `self: Arc<Self>`.

use std::sync::Arc;

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Shop {
    region: String,
}

impl Shop {
    #[idempotent(key = "place:{self.region}:{id}")]
    async fn place(self: Arc<Self>, id: u64) -> Result<(u64, u32), Error> {
        let moved = self;
        Ok((id + moved.region.len() as u64, RUNS.next()))
    }
}

#[test]
fn accepted() {
    assert_once(&RUNS, || Arc::new(Shop { region: "eu".into() }).place(7), &(9, 1));
}
