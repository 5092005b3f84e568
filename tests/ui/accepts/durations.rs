//! Durations as literals, constants, and expressions over the arguments.

use std::time::Duration;

use idem_ui::{Runs, assert_once, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

const LEASE: Duration = Duration::from_secs(20);

#[idempotent(key = "order:{id}", ttl = "1h 30m", lease = LEASE, wait = Duration::from_millis(millis))]
async fn place(id: u64, millis: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(millis as u32 + RUNS.next())
}

#[idempotent(key = "short:{id}", ttl = "900ms", lease = "20ms")]
async fn short(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(7, 10), &11);
    on_memory(async {
        assert_eq!(short(7).await.unwrap(), 2);
        assert_eq!(short(7).await.unwrap(), 2);
        tokio::time::sleep(Duration::from_millis(950)).await;
        assert_eq!(short(7).await.unwrap(), 3);
    });
}
