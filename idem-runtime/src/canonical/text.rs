//! Canonicalises JSON text.
//!
//! One pass, so that hostile input costs time linear in its length, however nested. Parsing into a
//! `serde_json::Value` would be shorter, but rounds long numbers and lets the last of two equal
//! names win.

use std::borrow::Cow;

use super::compound::{Array, Object};
use super::error::{Error, Reason};
use super::writer::Writer;
use super::{number, string};
use crate::scan;

/// Returns the canonical form of JSON text, the same as [`to_vec`](super::to_vec) of an equal
/// value.
///
/// Whitespace, the order of an object's members and the spelling of strings and numbers make no
/// difference; everything else does. A number is never rounded, whatever its length.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::canonical;
///
/// let json = canonical::from_json(br#"{ "b": [1.0, 9007199254740993], "a": "\u0041" }"#)?;
/// assert_eq!(json, br#"{"a":"A","b":[1,9007199254740993]}"#);
/// canonical::from_json(br#"{"a":1,"a":2}"#).unwrap_err(); // which of them is meant?
/// # Ok::<(), canonical::Error>(())
/// ```
///
/// # Errors
///
/// When the text is not JSON, a name occurs twice in one object, or it is nested beyond the limit.
pub fn from_json(text: &[u8]) -> Result<Vec<u8>, Error> {
    from_json_without(text, &[])
}

/// Like [`from_json`], but ignores members of these names in the outermost object. Nested objects
/// keep them.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::canonical::from_json_without;
///
/// let event = br#"{"id":"evt_1","pending_webhooks":2,"data":{"amount":1999}}"#;
/// let json = from_json_without(event, &["pending_webhooks"])?;
/// assert_eq!(json, br#"{"data":{"amount":1999},"id":"evt_1"}"#);
/// # Ok::<(), idem_runtime::canonical::Error>(())
/// ```
///
/// # Errors
///
/// As [`from_json`].
pub fn from_json_without(text: &[u8], names: &[&str]) -> Result<Vec<u8>, Error> {
    let text = str::from_utf8(text).map_err(|_| Reason::Text)?;
    let mut out = Vec::with_capacity(text.len());
    let mut members = Vec::new();
    whole(&mut Writer::new(&mut out, &mut members), text, names)?;
    Ok(out)
}

pub(super) fn write(writer: &mut Writer<'_>, json: &str) -> Result<(), Error> {
    whole(writer, json, &[])
}

fn whole(writer: &mut Writer<'_>, json: &str, without: &[&str]) -> Result<(), Error> {
    let mut text = Text { rest: json };
    text.value(writer, without)?;
    if text.peek().is_some() { Err(Reason::Text.into()) } else { Ok(()) }
}

/// The unread text.
struct Text<'j> {
    rest: &'j str,
}

impl<'j> Text<'j> {
    /// Reads a value; the writer's depth limit bounds the recursion.
    fn value(&mut self, writer: &mut Writer<'_>, without: &[&str]) -> Result<(), Error> {
        match self.peek() {
            Some(b'{') => self.object(writer, without),
            Some(b'[') => self.array(writer),
            Some(b'"') => {
                string::write(writer.out, &self.string()?);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => number::write_text(writer.out, self.number()),
            _ => self.word(writer),
        }
    }

    fn object(&mut self, writer: &mut Writer<'_>, without: &[&str]) -> Result<(), Error> {
        let mut object = Object::begin(writer)?;
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            self.take(b'}')?;
            return object.close();
        }
        loop {
            let name = self.name()?;
            if without.contains(&&*name) {
                object.discard(|writer| self.value(writer, &[]))?;
            } else {
                let name = object.name(&name);
                object.value(name, |writer| self.value(writer, &[]))?;
            }
            if !self.goes_on(b'}')? {
                return object.close();
            }
        }
    }

    fn array(&mut self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let mut array = Array::begin(writer)?;
        self.take(b'[')?;
        if self.peek() == Some(b']') {
            self.take(b']')?;
            array.close();
            return Ok(());
        }
        loop {
            self.value(array.element(), &[])?;
            if !self.goes_on(b']')? {
                array.close();
                return Ok(());
            }
        }
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Result<Cow<'j, str>, Error> {
        if self.peek() != Some(b'"') {
            return Err(Reason::Text.into());
        }
        let name = self.string()?;
        self.take(b':')?;
        Ok(name)
    }

    /// Whether a comma follows, rather than the closing bracket.
    fn goes_on(&mut self, close: u8) -> Result<bool, Error> {
        let is_comma = self.peek() == Some(b',');
        self.take(if is_comma { b',' } else { close })?;
        Ok(is_comma)
    }

    /// A string, whose first byte is a quote.
    fn string(&mut self) -> Result<Cow<'j, str>, Error> {
        let mut escaped = false;
        let inner = self.rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        });
        let (token, rest) = self.rest.split_at(inner.ok_or(Reason::Text)? + 2);
        self.rest = rest;
        let text = &token[1..token.len() - 1];
        if scan::any(text.as_bytes(), 0x20, *b"\\") {
            let text: String = serde_json::from_str(token).map_err(|_| Reason::Text)?;
            return Ok(Cow::Owned(text));
        }
        Ok(Cow::Borrowed(text))
    }

    /// A possible number.
    fn number(&mut self) -> &'j str {
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let end = self.rest.bytes().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number
    }

    fn word(&mut self, writer: &mut Writer<'_>) -> Result<(), Error> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                writer.out.extend_from_slice(word.as_bytes());
                return Ok(());
            }
        }
        Err(Reason::Text.into())
    }

    /// The next byte that is not whitespace.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.as_bytes().first().copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), Error> {
        self.peek();
        let rest = self.rest.strip_prefix(char::from(byte)).ok_or(Reason::Text)?;
        self.rest = rest;
        Ok(())
    }
}
