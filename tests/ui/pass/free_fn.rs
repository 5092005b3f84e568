//! A free function with an owned argument.

use std::sync::atomic::{AtomicU32, Ordering};

use idempotency::{Idempotency, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: AtomicU32 = AtomicU32::new(0);

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
async fn charge(req: Request) -> Result<Receipt, idempotency::Error> {
    let run = RUNS.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(Receipt { order_id: req.order_id, run })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    idempotency::set_global(Idempotency::memory()).unwrap();
    let request = Request { user_id: 7, order_id: "o-1".into() };
    let first = charge(request.clone()).await.unwrap();
    let again = charge(request).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(again, Receipt { order_id: "o-1".into(), run: 1 });
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
}
