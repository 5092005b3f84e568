//! Keys from templates, at run time.

use std::fmt::{Display, Write};

use super::escape::Escaping;
use super::text::Key;
use crate::error::{Error, ErrorKind};

/// Puts a key together from the literals and values of a template.
///
/// The attribute takes a template such as `payment:{user}:{order}` apart at compile time and emits
/// the calls that put the values in:
///
/// ```
/// use idem_runtime::KeyBuilder;
///
/// let (user, order) = ("u:1", 42);
/// let key = KeyBuilder::new(32)
///     .literal("payment:")
///     .value("user", &user, Some(':'))?
///     .literal(":")
///     .value("order", &order, None)?
///     .finish()?;
/// assert_eq!(key.as_str(), "payment:u%3A1:42");
/// # Ok::<(), idem_runtime::Error>(())
/// ```
///
/// # Why no two value lists give the same key
///
/// Within a value, `%` occurs only in front of two hex digits, and the first character of the
/// literal that follows occurs nowhere outside of such an escape; so whoever reads a key from the
/// left, knowing the template, finds the end of each value and then, undoing the escapes, the
/// value. A literal that itself begins with `%` would break this, so behind a value that `%` is
/// written twice, which no value can contain.
#[derive(Debug)]
#[must_use]
pub struct KeyBuilder {
    text: String,
    after_value: bool,
}

impl KeyBuilder {
    /// Begins a key that is expected to have `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity.min(Key::MAX_LEN)), after_value: false }
    }

    /// Appends a literal part of the template.
    pub fn literal(mut self, literal: &str) -> Self {
        if self.after_value && literal.starts_with('%') {
            self.text.push('%');
        }
        self.after_value = false;
        self.text.push_str(literal);
        self
    }

    /// Appends the value of a placeholder.
    ///
    /// `next` must be the first character of the literal that comes next, and `None` at the
    /// template's end. `%`, control characters and `next` are percent-escaped in the value.
    ///
    /// # Errors
    ///
    /// `KeyGeneration`, naming the placeholder, when the value is empty, when its `Display`
    /// implementation fails, or when the key gets longer than [`Key::MAX_LEN`]; a value is not read
    /// further than that.
    pub fn value<T: Display + ?Sized>(
        mut self,
        placeholder: &str,
        value: &T,
        next: Option<char>,
    ) -> Result<Self, Error> {
        let start = self.text.len();
        let mut escaping = Escaping::new(&mut self.text, Key::MAX_LEN, next);
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
        self.after_value = true;
        Ok(self)
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when the text is no valid [`Key`]: empty, too long, or with a control
    /// character in a literal.
    pub fn finish(self) -> Result<Key, Error> {
        Key::new(self.text)
    }
}

#[cold]
fn refused(placeholder: &str, why: &str) -> Error {
    Error::new(ErrorKind::KeyGeneration, format!("the value of `{placeholder}` {why}"))
}
