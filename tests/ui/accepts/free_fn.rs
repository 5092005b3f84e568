//! A free function with a key of its argument's fields.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Clone, Serialize)]
struct Request {
    user_id: u64,
    order_id: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    order_id: String,
    run: u32,
}

#[idempotent(key = "payment:{req.user_id}:{req.order_id}", ttl = "15m")]
async fn charge(req: Request) -> Result<Receipt, Error> {
    Ok(Receipt { order_id: req.order_id, run: RUNS.next() })
}

#[test]
fn accepted() {
    assert_once(
        &RUNS,
        || charge(Request { user_id: 7, order_id: "o-1".into() }),
        &Receipt { order_id: "o-1".into(), run: 1 },
    );
}
