//! A method with `&self`.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Shop {
    region: String,
}

impl Shop {
    #[idempotent(key = "place:{self.region}:{id}")]
    async fn place(&self, id: u64) -> Result<String, Error> {
        Ok(format!("{} {id} {}", self.region, RUNS.next()))
    }
}

static SHOP: std::sync::LazyLock<Shop> = std::sync::LazyLock::new(|| Shop { region: "eu".into() });

#[test]
fn accepted() {
    assert_once(&RUNS, || SHOP.place(7), &"eu 7 1".to_owned());
}
