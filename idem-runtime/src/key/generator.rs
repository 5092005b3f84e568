//! Generated keys.

use super::text::Key;
use crate::error::Error;
use crate::fingerprint::Fingerprint;

/// Generates the key of a call without one: of [`generate_key`](crate::Operation::generate_key),
/// and of an annotated function without `key`.
///
/// Set it with [`IdempotencyBuilder::key_generator`](crate::IdempotencyBuilder::key_generator). A
/// closure works too:
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::fingerprint::Fingerprint;
/// use idempotency::{Error, Idempotency, Key, storage::MemoryStorage};
///
/// // Keys begin anew with each version of the prices.
/// let idem = Idempotency::builder(MemoryStorage::new())
///     .key_generator(|operation: &str, args: Fingerprint| {
///         Key::from_fingerprint(&format!("prices-7:{operation}"), args)
///     })
///     .build()?;
/// # drop(idem);
/// # Ok::<(), Error>(())
/// ```
pub trait KeyGenerator: Send + Sync {
    /// Generates a key for a call of `operation` whose arguments have this fingerprint.
    ///
    /// - Calls for the same effect must get equal keys, all others different ones. A key shared by
    ///   two fingerprints is refused as a [`Mismatch`](crate::ErrorKind::Mismatch).
    /// - It is called from many threads at once and must not block.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](crate::ErrorKind::KeyGeneration) when there is no valid key; the operation
    /// does not run.
    fn generate(&self, operation: &str, args: Fingerprint) -> Result<Key, Error>;
}

/// The default [`KeyGenerator`]: the operation's name and the fingerprint in hexadecimal.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashedArguments;

impl KeyGenerator for HashedArguments {
    fn generate(&self, operation: &str, args: Fingerprint) -> Result<Key, Error> {
        Key::from_fingerprint(operation, args)
    }
}

impl<F> KeyGenerator for F
where
    F: Fn(&str, Fingerprint) -> Result<Key, Error> + Send + Sync,
{
    fn generate(&self, operation: &str, args: Fingerprint) -> Result<Key, Error> {
        self(operation, args)
    }
}
