//! The type [`Key`] and its spaces.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::fingerprint::Fingerprint;
use crate::scan;

/// Names one intended effect, within a namespace and a tenant: calls with equal keys are one call.
///
/// A key is text of 1 to [`Key::MAX_LEN`] bytes without control characters, so that every storage
/// can hold it and people can read it.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::Key;
///
/// let key = Key::new("payment:42")?;
/// assert_eq!(key.as_str(), "payment:42");
/// # Ok::<(), idem_runtime::Error>(())
/// ```
///
/// # Key spaces
///
/// Two keys are equal when they have equal texts and the same space, which depends on the
/// constructor. So a text from outside never equals a key of another space:
///
/// | made by | space | text |
/// |---|---|---|
/// | [`Key::new`], `parse`, [`from_utf8`](Self::from_utf8), [`random`](Self::random) | `key` | the application's, as a whole |
/// | [`KeyBuilder`](crate::key::KeyBuilder), the attribute's templates | `template` | literals, and values in parentheses: `payment:(42)` |
/// | [`hash`](Self::hash), default keys | `hash` | a prefix and a [`Fingerprint`] |
/// | [`http`](Self::http), the HTTP layer | `http` | the client's |
///
/// **The space `key` has no structure.** Two operations whose whole keys come from outside, such as
/// message ids, collide on equal ids, and the second call is refused as a
/// [`Mismatch`](ErrorKind::Mismatch). Make such keys with a [`KeyBuilder`](crate::key::KeyBuilder),
/// which begins with a literal for the operation.
///
/// The name of the record ([`RecordKey`](crate::key::RecordKey)) includes the space.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    space: Space,
    text: String,
}

/// The constructor of a key. It is part of the record's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Space {
    Whole,
    Template,
    Hash,
    Http,
}

impl Space {
    /// Part of stored records' names: never changes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Whole => "key",
            Self::Template => "template",
            Self::Hash => "hash",
            Self::Http => "http",
        }
    }
}

impl Key {
    /// Longest key in bytes.
    pub const MAX_LEN: usize = 512;

    /// A key with this text, in the space `key`: see [key spaces](#key-spaces).
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](ErrorKind::KeyGeneration) when the text is empty, longer than
    /// [`MAX_LEN`](Self::MAX_LEN) bytes, or has a control character.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        Self::in_space(Space::Whole, text.into())
    }

    pub(super) fn in_space(space: Space, text: String) -> Result<Self, Error> {
        let defect = if text.is_empty() {
            "the key is empty"
        } else if text.len() > Self::MAX_LEN {
            "the key is longer than 512 bytes"
        } else if has_control(&text) {
            "the key has a control character"
        } else {
            return Ok(Self { space, text });
        };
        Err(Error::new(ErrorKind::KeyGeneration, defect))
    }

    /// A key with this text, for example from a message header.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](ErrorKind::KeyGeneration) when the bytes are not UTF-8, and as
    /// [`new`](Self::new).
    pub fn from_utf8(text: &[u8]) -> Result<Self, Error> {
        match std::str::from_utf8(text) {
            Ok(text) => Self::new(text),
            Err(error) => Err(Error::new(ErrorKind::KeyGeneration, "the key is not valid utf-8")
                .with_source(error)),
        }
    }

    /// A unique key: a version 7 UUID, so that later keys sort after earlier ones.
    ///
    /// Keep it for the retries: a new key for each attempt gives no protection.
    pub fn random() -> Self {
        Self { space: Space::Whole, text: Uuid::now_v7().to_string() }
    }

    /// The key from an HTTP client's header `Idempotency-Key`. It never equals a key of the
    /// application.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn http(text: impl Into<String>) -> Result<Self, Error> {
        Self::in_space(Space::Http, text.into())
    }

    /// The key `prefix:j1-…`, which holds the [fingerprint](Fingerprint::of) of `args` for an
    /// operation named `prefix`.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::Key;
    ///
    /// let key = Key::hash("invoice", &("customer-7", 2024))?;
    /// assert!(key.as_str().starts_with("invoice:j1-"));
    /// assert_eq!(key, Key::hash("invoice", &("customer-7", 2024))?);
    /// assert_ne!(key, Key::hash("invoice", &("customer-7", 2025))?);
    /// # Ok::<(), idem_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](ErrorKind::KeyGeneration) when `args` has no
    /// [canonical form](crate::canonical), and as [`new`](Self::new).
    pub fn hash<T: Serialize + ?Sized>(prefix: &str, args: &T) -> Result<Self, Error> {
        Self::from_fingerprint(prefix, Fingerprint::of(prefix, args)?)
    }

    /// The key `prefix:j1-…` for a computed fingerprint.
    ///
    /// A fingerprint's text has no colon and a fixed length, so no two pairs give the same key.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_fingerprint(prefix: &str, fingerprint: Fingerprint) -> Result<Self, Error> {
        Self::in_space(Space::Hash, format!("{prefix}:{fingerprint}"))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn space(&self) -> Space {
        self.space
    }
}

fn has_control(text: &str) -> bool {
    scan::any_control_or(text, [0; 2]) && text.chars().any(char::is_control)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(text)
    }
}
