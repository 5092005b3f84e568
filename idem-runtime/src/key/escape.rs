//! Percent-escapes for the parts of keys, bounded while they are written.

use std::fmt::{self, Write};

/// Appends what is written to it, with `%`, control characters and the separator percent-escaped as
/// in URLs. So the separator and a `%` without two hex digits behind it do not occur in what it
/// writes.
///
/// Once the limit is reached, everything further is refused: a huge value is neither copied nor
/// looked through.
pub(super) struct Escaping<'o> {
    out: &'o mut String,
    /// The most bytes that `out` may have.
    limit: usize,
    separator: Option<char>,
    overflown: bool,
}

impl<'o> Escaping<'o> {
    pub(super) fn new(out: &'o mut String, limit: usize, separator: Option<char>) -> Self {
        Self { out, limit, separator, overflown: false }
    }

    /// Whether something was refused, also where a `Display` implementation has hidden that.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    fn push(&mut self, part: &str) -> fmt::Result {
        self.make_room(part.len())?;
        self.out.push_str(part);
        Ok(())
    }

    fn push_escaped(&mut self, character: char) -> fmt::Result {
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            self.make_room("%XX".len())?;
            write!(self.out, "%{byte:02X}")?;
        }
        Ok(())
    }

    fn make_room(&mut self, len: usize) -> fmt::Result {
        self.overflown = self.overflown || len > self.limit.saturating_sub(self.out.len());
        if self.overflown { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // Escapes only make it longer.
        self.make_room(part.len())?;
        let separator = self.separator;
        let special = |c: char| c == '%' || c.is_control() || Some(c) == separator;
        let mut rest = part;
        while let Some(at) = rest.find(special) {
            self.push(&rest[..at])?;
            let mut tail = rest[at..].chars();
            tail.next().map_or(Ok(()), |character| self.push_escaped(character))?;
            rest = tail.as_str();
        }
        self.push(rest)
    }
}
