//! A mail that is never sent twice. The price: after a crash, an operator checks whether it was
//! sent.

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
    /// A refused connection proves that nothing was sent. After a timeout or a broken connection
    /// the outcome is unknown.
    fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// `on_crash = "park"`: if the process crashes between sending and recording, the body never runs
/// again by itself, and the hook `on_parked` asks an operator to investigate. Errors are stored,
/// except those that prove that nothing was sent.
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
    // If the provider accepts idempotency keys, pass it one, the same in every attempt. Then
    // `on_crash = "retry"` and `on_error = "release"` are enough.
    world.do_it(&format!("mail to {user}"))?;
    Ok(format!("sent to {user}"))
}
