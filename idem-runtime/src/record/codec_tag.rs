//! The name of the format in which a record holds its result.

use std::fmt;

/// Name of a codec in a record: up to 15 bytes of ASCII letters, digits and `-`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecTag {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl CodecTag {
    /// Longest tag in bytes.
    pub const MAX_LEN: usize = 15;

    /// The tag with this text; `None` when it is empty, too long or has other characters.
    pub const fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return None;
        }
        let mut bytes = [0; Self::MAX_LEN];
        let mut i = 0;
        while i < text.len() {
            if !text[i].is_ascii_alphanumeric() && text[i] != b'-' {
                return None;
            }
            bytes[i] = text[i];
            i += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 15")]
        Some(Self { len: text.len() as u8, bytes })
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for CodecTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CodecTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
