//! A method with `&mut self`, which a replay leaves alone.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Basket {
    orders: Vec<u64>,
}

impl Basket {
    #[idempotent(key = "basket:{id}")]
    async fn add(&mut self, id: u64) -> Result<usize, Error> {
        RUNS.next();
        self.orders.push(id);
        Ok(self.orders.len())
    }
}

#[test]
fn accepted() {
    let mut basket = Basket { orders: Vec::new() };
    on_memory(async {
        assert_eq!(basket.add(7).await.unwrap(), 1);
        assert_eq!(basket.add(7).await.unwrap(), 1);
    });
    assert_eq!(basket.orders, [7]);
    assert_eq!(RUNS.count(), 1);
}
