//! Placeholders: arguments, fields of fields, tuple indices, `self`, doubled braces.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

struct Shop {
    region: &'static str,
}

#[derive(Serialize)]
struct Order {
    ids: (u64, u64),
    customer: Customer,
}

#[derive(Serialize)]
struct Customer {
    r#type: char,
}

impl Shop {
    #[idempotent(key = "place{{{self.region}}}/{order.ids.1}/{ order.customer.type }/{note}")]
    async fn place(&self, order: &Order, note: &str) -> Result<(u32, String), Error> {
        let run = RUNS.next();
        assert_eq!(order.ids.0, 1);
        assert!(note.starts_with('a'));
        Ok((run, idempotency::current().unwrap().key().to_string()))
    }
}

#[test]
fn accepted() {
    let order = Order { ids: (1, 2), customer: Customer { r#type: 'x' } };
    assert_once(
        &RUNS,
        || Shop { region: "eu" }.place_once(&order),
        &(1, "place{(eu)}/(2)/(x)/(a b)".to_owned()),
    );
}

impl Shop {
    async fn place_once(self, order: &Order) -> Result<(u32, String), Error> {
        self.place(order, "a b").await
    }
}
