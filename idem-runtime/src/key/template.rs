//! Key templates at run time.

use std::fmt::{Display, Write};

use super::escape::Escaping;
use super::text::{Key, Space};
use crate::error::{Error, ErrorKind};

/// Delimiters of a value.
const BEGIN: char = '(';
const END: char = ')';

/// Builds a key from the literals and values of a template.
///
/// The attribute parses a template such as `payment:{user}:{order}` at compile time and generates
/// these calls:
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::key::KeyBuilder;
///
/// let (user, order) = ("u:1", 42);
/// let key = KeyBuilder::new(32)
///     .literal("payment:")
///     .value("user", &user)?
///     .literal(":")
///     .value("order", &order)?
///     .finish()?;
/// assert_eq!(key.as_str(), "payment:(u:1):(42)");
/// # Ok::<(), idem_runtime::Error>(())
/// ```
///
/// # Why no two templates give the same key
///
/// Values are in parentheses. `(` is percent-escaped in literals, `)` in values, and `%` and
/// control characters in both. So a key, read from the left, shows where each value begins and
/// ends, without its template. Another template or other values give another key:
/// `order:{region}:{id}` gives `order:(refund):(5)`, and `order:refund:{id}` gives
/// `order:refund:(5)`.
///
/// Equal templates of two operations give equal keys, and the second call is a
/// [`Mismatch`](ErrorKind::Mismatch). A template begins with a literal, which separates operations
/// whatever the values.
#[derive(Debug)]
#[must_use]
pub struct KeyBuilder {
    text: String,
    /// Whether the key begins with a literal that has a letter or a digit.
    named: bool,
}

impl KeyBuilder {
    /// Begins a key with an expected length of `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity.min(Key::MAX_LEN)), named: false }
    }

    /// Appends a literal part of the template.
    ///
    /// `%`, `(` and control characters are percent-escaped in it.
    pub fn literal(mut self, literal: &str) -> Self {
        self.named = self.named || literal.contains(char::is_alphanumeric);
        // A literal that does not fit makes the key too long, which `finish` reports.
        let _ = Escaping::new(&mut self.text, usize::MAX, BEGIN).write_str(literal);
        self
    }

    /// Appends the value of a placeholder.
    ///
    /// `%`, `)` and control characters are percent-escaped in it.
    ///
    /// # Errors
    ///
    /// `KeyGeneration`, naming the placeholder, when no literal with a letter or a digit comes
    /// before it, when the value is empty, when its `Display` implementation fails, or when the key
    /// gets longer than [`Key::MAX_LEN`]; the rest of a longer value is not read.
    pub fn value<T: Display + ?Sized>(
        mut self,
        placeholder: &str,
        value: &T,
    ) -> Result<Self, Error> {
        if !self.named {
            return Err(refused(placeholder, "has no literal before it, such as `job:`"));
        }
        self.text.push(BEGIN);
        let start = self.text.len();
        let limit = Key::MAX_LEN - END.len_utf8();
        let mut escaping = Escaping::new(&mut self.text, limit, END);
        let written = write!(escaping, "{value}");
        if escaping.overflown() {
            return Err(refused(placeholder, "makes the key too long"));
        }
        if written.is_err() {
            return Err(refused(placeholder, "cannot be displayed"));
        }
        if self.text.len() == start {
            return Err(refused(placeholder, "is empty"));
        }
        self.text.push(END);
        Ok(self)
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when the text is empty or longer than [`Key::MAX_LEN`].
    pub fn finish(self) -> Result<Key, Error> {
        Key::in_space(Space::Template, self.text)
    }
}

#[cold]
fn refused(placeholder: &str, why: &str) -> Error {
    Error::new(ErrorKind::KeyGeneration, format!("the value of `{placeholder}` {why}"))
}
