//! Bounded percent-escaping for the parts of keys.

use std::fmt::{self, Write};

use crate::scan;

/// A writer that percent-escapes `%`, control characters and the separator as in URLs. So its
/// output has neither the separator nor a `%` without two hex digits.
///
/// It refuses everything beyond the limit: a huge value is neither copied nor scanned.
pub(super) struct Escaping<'o> {
    out: &'o mut String,
    /// Maximum length of `out` in bytes.
    limit: usize,
    separator: char,
    overflown: bool,
}

impl<'o> Escaping<'o> {
    pub(super) fn new(out: &'o mut String, limit: usize, separator: char) -> Self {
        Self { out, limit, separator, overflown: false }
    }

    /// Whether something was refused, even if a `Display` implementation swallowed the error.
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
        // Escaping never shortens a part.
        self.make_room(part.len())?;
        let separator = self.separator;
        let first_byte = separator.encode_utf8(&mut [0; 4]).as_bytes()[0];
        if !scan::any_control_or(part, [b'%', first_byte]) {
            self.out.push_str(part);
            return Ok(());
        }
        let special = |c: char| c == '%' || c.is_control() || c == separator;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the parts in order, ignoring refusals; returns which were accepted, and the output.
    fn written(limit: usize, parts: &[&str]) -> (Vec<bool>, String) {
        let mut out = String::from("p:");
        let mut escaping = Escaping::new(&mut out, limit, ':');
        let accepted: Vec<_> = parts.iter().map(|part| escaping.write_str(part).is_ok()).collect();
        let overflown = escaping.overflown();
        assert_eq!(overflown, accepted.contains(&false));
        (accepted, out)
    }

    #[test]
    fn a_part_that_cannot_fit_is_refused_before_it_is_looked_through() {
        // Unescaped it has 5 bytes, which do not fit; its prefix would.
        assert_eq!(written(6, &["a:b%c"]), (vec![false], "p:".to_owned()));
        // Here only the escaped form does not fit.
        assert_eq!(written(8, &["a:b%c"]), (vec![false], "p:a%3Ab".to_owned()));
    }

    #[test]
    fn nothing_is_written_after_an_overflow() {
        assert_eq!(written(4, &["abc", "d", ""]), (vec![false; 3], "p:".to_owned()));
        assert_eq!(written(9, &["abc", "d", ":"]), (vec![true; 3], "p:abcd%3A".to_owned()));
    }
}
