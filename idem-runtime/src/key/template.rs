//! Keys from templates, at run time.

use std::fmt::{Display, Write};

use super::escape::Escaping;
use super::text::{Key, Space};
use crate::error::{Error, ErrorKind};

/// Around each value.
const BEGIN: char = '(';
const END: char = ')';

/// Puts a key together from the literals and values of a template.
///
/// The attribute takes a template such as `payment:{user}:{order}` apart at compile time and emits
/// the calls that put the values in:
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
/// Values stand in parentheses. A literal has no `(` and a value no `)`: they are percent-escaped
/// there, as are `%` and control characters in both. So whoever reads a key from the left finds
/// where each value begins and ends, without knowing the template, and undoes the escapes. Another
/// template or other values give another key: `order:{region}:{id}` gives `order:(refund):(5)`, and
/// `order:refund:{id}` gives `order:refund:(5)`.
///
/// Equal templates of two operations give equal keys, and the second call is a
/// [`Mismatch`](ErrorKind::Mismatch). A template begins with a literal, so that operations are apart
/// whatever the values are.
#[derive(Debug)]
#[must_use]
pub struct KeyBuilder {
    text: String,
    /// Whether the literal that the key begins with is more than separators.
    named: bool,
}

impl KeyBuilder {
    /// Begins a key that is expected to have `capacity` bytes.
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
    /// gets longer than [`Key::MAX_LEN`]; a value is not read further than that.
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
