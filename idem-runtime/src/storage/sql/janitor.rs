//! Removes expired records in the background.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;

/// Records per statement, so that it holds no lock for long and leaves vacuum little at once.
const BATCH: usize = 1_000;

/// Purges `storage` every `every`, batch by batch, until `stop` is cancelled.
///
/// Several processes may do so on one table: they take different records.
pub(super) fn spawn(
    storage: impl Storage,
    every: Duration,
    stop: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = purge(&storage, &stop).await {
                tracing::warn!(
                    backend = storage.backend(),
                    error = &error as &dyn std::error::Error,
                    "failed to remove expired records; will retry"
                );
            }
        }
    })
}

/// Removes all expired records.
async fn purge(
    storage: &impl Storage,
    stop: &CancellationToken,
) -> Result<(), crate::storage::StorageError> {
    let mut removed = 0;
    while !stop.is_cancelled() {
        let batch = storage.purge(BATCH).await?;
        removed += batch;
        if batch < BATCH as u64 {
            break;
        }
    }
    if removed > 0 {
        tracing::debug!(backend = storage.backend(), removed, "expired records removed");
    }
    Ok(())
}
