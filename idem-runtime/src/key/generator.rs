//! Keys of calls whose caller gives none.

use super::text::Key;
use crate::error::Error;
use crate::fingerprint::Fingerprint;

/// Makes the key of a call whose caller gives none: of
/// [`generate_key`](crate::Operation::generate_key), and of an annotated function without `key`.
///
/// A handle has one: [`IdempotencyBuilder::key_generator`](crate::IdempotencyBuilder::key_generator).
/// A closure is one too:
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
    /// Makes a key for a call of `operation` with the arguments of this fingerprint.
    ///
    /// - Calls that are one effect must get equal keys, all others different ones. A key that two
    ///   fingerprints share is refused as a [`Mismatch`](crate::ErrorKind::Mismatch).
    /// - It is called from many threads at once and must not block.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](crate::ErrorKind::KeyGeneration) when there is no valid key. The
    /// operation does not run then.
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
