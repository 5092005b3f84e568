//! Without options the arguments are the key: other arguments are another call.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent]
async fn add(a: u32, b: u32) -> Result<u32, Error> {
    RUNS.next();
    Ok(a + b)
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(add(1, 2).await.unwrap(), 3);
        assert_eq!(add(1, 2).await.unwrap(), 3);
        assert_eq!(RUNS.count(), 1);
        assert_eq!(add(2, 1).await.unwrap(), 3);
        assert_eq!(RUNS.count(), 2);
    });
}
