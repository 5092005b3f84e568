//! Tests that advance a clock instead of waiting.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use idempotency::storage::MemoryStorage;
use idempotency::testing::ManualClock;
use idempotency::{Error, Idempotency, idempotent};

#[idempotent(key = "welcome:{user}", ttl = "1h", skip(sent))]
async fn welcome(user: u64, sent: &AtomicU32) -> Result<u32, Error> {
    tokio::time::sleep(Duration::from_secs(300)).await; // the heartbeat renews the lease of 30 s
    Ok(sent.fetch_add(1, SeqCst) + 1)
}

/// The memory storage follows tokio's paused time. Needs tokio's feature `test-util`.
#[tokio::test(start_paused = true)]
async fn with_tokios_own_time() -> Result<(), Error> {
    let sent = AtomicU32::new(0);
    idempotency::with(Idempotency::memory(), async {
        assert_eq!(welcome(7, &sent).await?, 1);
        tokio::time::advance(Duration::from_secs(3_599)).await;
        assert_eq!(welcome(7, &sent).await?, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(welcome(7, &sent).await?, 2);
        Ok(())
    })
    .await
}

/// A clock for the storage alone, while other timers run on. Needs the feature `testing` of
/// idempotency.
#[tokio::test]
async fn with_a_manual_clock() -> Result<(), Error> {
    let (clock, runs) = (ManualClock::new(), AtomicU32::new(0));
    let idem = Idempotency::new(MemoryStorage::with_clock(clock.clone()))?;
    let hour = Duration::from_secs(3_600);
    let call = || idem.execute("op:7", hour, async { Ok::<_, Error>(runs.fetch_add(1, SeqCst)) });
    assert_eq!(call().await?, 0);
    clock.advance(hour);
    assert_eq!(call().await?, 1);
    Ok(())
}
