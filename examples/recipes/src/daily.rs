//! Once per day, although every replica of the service has a timer.

use idempotency::{Idempotency, idempotent};

use crate::world::World;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("the data is not available yet")]
    Unavailable(#[from] std::io::Error),
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

/// The key is the day of the report, not the moment at which a timer fired: the replicas' timers
/// differ. The second replica waits for the first one's result. It waits for longer than the lease,
/// so it takes over if the first crashes. A failure frees the key, so that the next timer tries
/// again.
#[idempotent(
    name = "daily-report",
    key = "daily-report:{day}",
    ttl = "3d",            // longer than a timer may be late
    lease = "5s",
    wait = "15s",
    on_error = "release",
    with = idem,
    skip(idem, world),
)]
pub(crate) async fn report(
    idem: &Idempotency,
    world: &World,
    day: &str,
) -> Result<String, ReportError> {
    // The archive keeps one report per day and ignores duplicates.
    world.do_once(day, &format!("report of {day}"))?;
    Ok(format!("report of {day} by process {}", std::process::id()))
}
