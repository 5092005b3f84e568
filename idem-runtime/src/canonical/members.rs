//! The order of an object's members: by the UTF-16 code units of their names.

use std::cmp::Ordering;

use super::error::{Error, Reason};
use crate::hex;

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
    /// The first bytes of the name, which usually decide its order.
    head: u64,
    name: Name,
    end: usize,
}

impl Member {
    /// The member with this name and the value at the end of the output.
    #[inline]
    pub(super) fn new(out: &[u8], name: Name) -> Self {
        Self { head: head(out, name), name, end: out.len() }
    }

    /// Whether `next` belongs after this one and has another name.
    #[inline]
    pub(super) fn is_before(&self, out: &[u8], next: &Self) -> bool {
        self.order(out, next) == Ordering::Less
    }

    #[inline]
    fn order(&self, out: &[u8], other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| order(out, self.name, other.name))
    }
}

/// The first eight bytes of a name, padded with zeros, so that two different heads have the order
/// of their names.
#[inline]
fn head(out: &[u8], name: Name) -> u64 {
    let len = name.end - name.start - 2;
    // The value behind a short name is shifted out.
    if let Some(first) = out[name.start + 1..].first_chunk()
        && len > 0
        && !name.escaped
    {
        let unused = 8 * 8usize.saturating_sub(len);
        let head = u64::from_be_bytes(*first) >> unused << unused;
        if head.to_ne_bytes().is_ascii() {
            return head;
        }
    }
    slow_head(text(out, name), name.escaped)
}

#[cold]
fn slow_head(text: &[u8], escaped: bool) -> u64 {
    let mut head = [0; 8];
    if escaped {
        head.iter_mut().zip(unescaped(text)).for_each(|(to, byte)| *to = rank(byte));
    } else {
        head.iter_mut().zip(text).for_each(|(to, byte)| *to = rank(*byte));
    }
    u64::from_be_bytes(head)
}

/// A name without its quotes.
#[inline]
fn text(out: &[u8], name: Name) -> &[u8] {
    &out[name.start + 1..name.end - 1]
}

/// Sorts the members, which fill the output from `start`, by their names.
pub(super) fn put_in_order(
    out: &mut Vec<u8>,
    members: &mut [Member],
    start: usize,
) -> Result<(), Error> {
    members.sort_unstable_by(|a, b| a.order(out, b));
    if members.windows(2).any(|pair| !pair[0].is_before(out, &pair[1])) {
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

fn order(out: &[u8], a: Name, b: Name) -> Ordering {
    let (text_a, text_b) = (text(out, a), text(out, b));
    if a.escaped || b.escaped {
        unescaped(text_a).map(rank).cmp(unescaped(text_b).map(rank))
    } else {
        utf16_order(text_a, text_b)
    }
}

/// Compares two UTF-8 strings as if they were UTF-16, without converting them.
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

/// The unescaped bytes of a string.
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
            // Only control characters have this form: \u00XY.
            b'u' => hex::byte([bytes.nth(2)?, bytes.next()?])?,
            quote_or_backslash => quote_or_backslash,
        })
    })
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
            a in "[ab\"\\\\\n\u{1}\u{7f}é\u{d7ff}\u{e000}\u{fb33}\u{ffff}\u{10000}\u{1f600}\u{10ffff}]{0,10}",
            b in "[ab\"\\\\\n\u{1}\u{7f}é\u{d7ff}\u{e000}\u{fb33}\u{ffff}\u{10000}\u{1f600}\u{10ffff}]{0,10}",
        ) {
            let (mut out, name_a) = written(&a);
            let (text_b, name_b) = written(&b);
            let shift = out.len();
            out.extend(text_b);
            let name_b = Name { start: shift, end: name_b.end + shift, ..name_b };
            let expected = a.encode_utf16().cmp(b.encode_utf16());
            prop_assert_eq!(order(&out, name_a, name_b), expected);
            let [member_a, member_b] = [name_a, name_b].map(|name| Member::new(&out, name));
            prop_assert_eq!(member_a.order(&out, &member_b), expected);
        }
    }
}
