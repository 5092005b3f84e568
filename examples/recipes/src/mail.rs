//! A mail that is never sent twice, at the price that after a crash a person looks whether it was sent at all.

use std::io;

use idempotency::{Idempotency, idempotent};

use crate::world::World;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("the mail server does not answer")]
    Unavailable(#[from] io::Error),
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl MailError {
    /// That nothing was sent is certain where there was no connection. After a timeout or a broken connection nobody knows.
    fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// `on_crash = "park"`: when the process dies between sending and recording, nobody runs this again by themselves, ever. The hook `on_parked` says
/// that somebody has to look. Errors are stored, but for those that say that nothing was sent.
#[idempotent(
    name = "welcome-mail",
    key = "welcome-mail:{user}",
    ttl = "365d",
    on_crash = "park",
    on_cancel = "finish",
    retry_if = MailError::nothing_was_sent,
    with = idem,
    skip(idem, world),
)]
pub(crate) async fn welcome(
    idem: Idempotency,
    world: World,
    user: u64,
) -> Result<String, MailError> {
    // A provider that knows idempotency keys is given one, the same in every attempt. Then all of this is simpler: `on_crash = "retry"`, and
    // `on_error = "release"`.
    world.do_it(&format!("mail to {user}"))?;
    Ok(format!("sent to {user}"))
}
