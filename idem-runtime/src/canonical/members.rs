//! The order of an object's members: by the UTF-16 code units of their names.

use std::cmp::Ordering;

use super::error::{Error, Reason};

/// Where a member's name is in the output, its quotes included.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

/// Where a member is in the output: from its name's start to the end of its value.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) end: usize,
}

/// Whether `next` belongs after `last` and has another name.
#[inline]
pub(super) fn ascend(out: &[u8], last: &Member, next: &Member) -> bool {
    order(out, last.name, next.name) == Ordering::Less
}

/// Rewrites the members, which take up the output from `start` to its end, in order of their names.
pub(super) fn put_in_order(
    out: &mut Vec<u8>,
    members: &mut [Member],
    start: usize,
) -> Result<(), Error> {
    members.sort_unstable_by(|a, b| order(out, a.name, b.name));
    if members.windows(2).any(|pair| !ascend(out, &pair[0], &pair[1])) {
        return Err(Reason::DuplicateName.into());
    }
    let end = out.len();
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_within(member.name.start..member.end);
    }
    out.copy_within(end.., start);
    out.truncate(end);
    Ok(())
}

#[inline]
fn order(out: &[u8], a: Name, b: Name) -> Ordering {
    let text = |name: Name| &out[name.start + 1..name.end - 1];
    if a.escaped || b.escaped {
        unescaped(text(a)).map(rank).cmp(unescaped(text(b)).map(rank))
    } else {
        utf16_order(text(a), text(b))
    }
}

/// Compares two UTF-8 strings as if they were UTF-16, without converting them.
#[inline]
fn utf16_order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((x, y)) => rank(*x).cmp(&rank(*y)),
        None => a.len().cmp(&b.len()),
    }
}

/// UTF-8 sorts by code point. UTF-16 differs in one thing: U+E000 to U+FFFF, which begin with the
/// bytes EE and EF, come after the surrogates that stand for everything higher, which begins with
/// F0 to F4.
#[inline]
fn rank(byte: u8) -> u8 {
    if matches!(byte, 0xEE | 0xEF) { byte + 0x10 } else { byte }
}

/// The bytes of a string as it was before it was escaped.
fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = text.iter().copied();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'\\' {
            return Some(byte);
        }
        Some(match bytes.next()? {
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0C,
            b'r' => b'\r',
            // Only control characters are written so: \u00XY.
            b'u' => {
                let (high, low) = (bytes.nth(2)?, bytes.next()?);
                hex(high) << 4 | hex(low)
            }
            quote_or_backslash => quote_or_backslash,
        })
    })
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::string;
    use super::*;

    fn written(text: &str) -> (Vec<u8>, Name) {
        let mut out = Vec::new();
        string::write(&mut out, text);
        let name = Name { start: 0, end: out.len(), escaped: out.len() != text.len() + 2 };
        (out, name)
    }

    proptest! {
        #[test]
        fn names_are_ordered_by_their_utf16_code_units(
            a in "[ab\"\\\\\n\u{1}\u{7f}é\u{d7ff}\u{e000}\u{fb33}\u{ffff}\u{10000}\u{1f600}\u{10ffff}]{0,4}",
            b in "[ab\"\\\\\n\u{1}\u{7f}é\u{d7ff}\u{e000}\u{fb33}\u{ffff}\u{10000}\u{1f600}\u{10ffff}]{0,4}",
        ) {
            let (mut out, name_a) = written(&a);
            let (text_b, name_b) = written(&b);
            let shift = out.len();
            out.extend(text_b);
            let name_b = Name { start: shift, end: name_b.end + shift, ..name_b };
            prop_assert_eq!(order(&out, name_a, name_b), a.encode_utf16().cmp(b.encode_utf16()));
        }
    }
}
