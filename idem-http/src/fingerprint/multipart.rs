//! Multipart bodies by their parts, without the boundary that divides them.
//!
//! Parsers differ in the deviations that they accept: text before the first boundary and after the
//! last, line ends without CR, a boundary with a suffix. So a body with a deviation is compared
//! byte for byte, and two bodies with equal parts have the same parts to every parser.

use idem_runtime::canonical::from_json;
use memchr::memmem;
use sha2::{Digest, Sha256};

use super::media_type::MediaType;

/// A part as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FormPart<'b> {
    pub(crate) headers: &'b [u8],
    pub(crate) content: &'b [u8],
}

/// The parts of a body; `None` if they are ambiguous.
///
/// The boundary occurs only between them, and nowhere inside of a part.
pub(crate) fn parts<'b>(body: &'b [u8], boundary: &str) -> Option<Vec<FormPart<'b>>> {
    let dashed = [b"--", boundary.as_bytes()].concat();
    let boundary = memmem::Finder::new(&dashed);
    let mut rest = body.strip_prefix(dashed.as_slice())?;
    let mut parts = Vec::new();
    while let Some(begun) = rest.strip_prefix(b"\r\n") {
        let (part, behind) = begun.split_at(boundary.find(begun)?);
        parts.push(FormPart::of(part.strip_suffix(b"\r\n")?)?);
        rest = &behind[dashed.len()..];
    }
    matches!(rest, b"--" | b"--\r\n").then_some(parts)
}

impl<'b> FormPart<'b> {
    fn of(part: &'b [u8]) -> Option<Self> {
        const BLANK_LINE: &[u8] = b"\r\n\r\n";
        let end = memmem::find(part, BLANK_LINE)?;
        Some(Self { headers: &part[..end], content: &part[end + BLANK_LINE.len()..] })
    }

    /// The content as canonical JSON, if the headers declare unencoded JSON.
    fn json(&self) -> Option<Vec<u8>> {
        let mut media_type = None;
        for line in str::from_utf8(self.headers).ok()?.split("\r\n") {
            let (name, value) = line.split_once(':')?;
            let is = |other: &str| name.trim_ascii().eq_ignore_ascii_case(other);
            if is("content-encoding") || is("content-transfer-encoding") {
                return None;
            }
            if is("content-type") && media_type.replace(MediaType::parse(value)?).is_some() {
                return None;
            }
        }
        from_json(self.content).ok().filter(|_| media_type.is_some_and(|it| it.is_json()))
    }
}

/// A hash that is equal only for equal parts in the same order.
pub(crate) fn hash(parts: &[FormPart<'_>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |kind: u8, piece: &[u8]| {
        hash.update([kind]);
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    };
    for part in parts {
        add(b'h', part.headers);
        match part.json() {
            Some(json) => add(b'j', &json),
            None => add(b'b', part.content),
        }
    }
    hash.finalize().into()
}
