//! Where keys come from that no template gives.

use super::text::Key;
use crate::error::Error;

/// Makes the key of a call whose caller has given none.
///
/// A closure `Fn(&str) -> Result<Key, Error>` is one too:
///
/// ```
/// use idem_runtime::{Error, Key, KeyGenerator, RandomKeys};
///
/// let prefixed = |operation: &str| Key::new(format!("{operation}:{}", Key::random()));
/// let generators: [&dyn KeyGenerator; 2] = [&RandomKeys, &prefixed];
/// for generator in generators {
///     assert_ne!(generator.generate("charge")?, generator.generate("charge")?);
/// }
/// # Ok::<(), Error>(())
/// ```
pub trait KeyGenerator: Send + Sync {
    /// Makes a key for a call of `operation`.
    ///
    /// - Calls that are meant to be one must get equal keys, and all others different ones.
    /// - It is called from many threads at once and must not block.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](crate::ErrorKind::KeyGeneration) when there is no valid key. The
    /// operation does not run then.
    fn generate(&self, operation: &str) -> Result<Key, Error>;
}

/// Generates [`Key::random`]s.
///
/// Such a key makes nothing idempotent by itself. Make it once, where the intention arises (a form
/// that is shown, a message that is enqueued), and send it along with each attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomKeys;

impl KeyGenerator for RandomKeys {
    fn generate(&self, _operation: &str) -> Result<Key, Error> {
        Ok(Key::random())
    }
}

impl<F> KeyGenerator for F
where
    F: Fn(&str) -> Result<Key, Error> + Send + Sync,
{
    fn generate(&self, operation: &str) -> Result<Key, Error> {
        self(operation)
    }
}
