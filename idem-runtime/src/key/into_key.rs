//! Values that can be a key.

use super::text::Key;
use crate::error::Error;

/// A value that can be a key: a [`Key`], a text that is the [whole key](Key#key-spaces), or the
/// result of making one.
pub trait IntoKey {
    /// The key.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when it is not valid.
    fn into_key(self) -> Result<Key, Error>;
}

impl IntoKey for Key {
    fn into_key(self) -> Result<Key, Error> {
        Ok(self)
    }
}

impl IntoKey for &Key {
    fn into_key(self) -> Result<Key, Error> {
        Ok(self.clone())
    }
}

impl IntoKey for &str {
    fn into_key(self) -> Result<Key, Error> {
        Key::new(self)
    }
}

impl IntoKey for &String {
    fn into_key(self) -> Result<Key, Error> {
        Key::new(self.as_str())
    }
}

impl IntoKey for String {
    fn into_key(self) -> Result<Key, Error> {
        Key::new(self)
    }
}

impl IntoKey for Result<Key, Error> {
    fn into_key(self) -> Result<Key, Error> {
        self
    }
}
