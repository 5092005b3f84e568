//! A mail that is never sent twice, at the price that after a crash a person looks whether it was sent at all.

use idempotency::{Idempotency, idempotent};

use crate::world::World;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("the mail server refused the connection")]
    Refused(#[from] std::io::Error), // it has not taken the mail
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

/// `on_crash = "park"`: when the process dies between sending and recording, nobody runs this again by themselves, ever. The hook `on_parked` says
/// that somebody has to look. `retry_if` only for errors that say for certain that nothing was sent: a timeout does not.
#[idempotent(
    name = "welcome-mail",
    key = "welcome-mail:{user}",
    ttl = "365d",
    on_crash = "park",
    on_cancel = "finish",
    retry_if = |error: &MailError| matches!(error, MailError::Refused(_)),
    with = idem,
    skip(idem, world, dies),
)]
pub(crate) async fn welcome(
    idem: Idempotency,
    world: World,
    user: u64,
    dies: bool,
) -> Result<String, MailError> {
    // A provider that knows idempotency keys gets this one, which is the same in every attempt: then `on_crash = "retry"` is safe.
    let key = format!("welcome-mail-{user}");
    world.do_something(&format!("mail to {user}, key {key}"))?;
    if dies {
        std::process::abort(); // what `park` is for
    }
    Ok(format!("sent to {user}"))
}
