//! Strings: JCS escapes only what JSON requires, in the shortest form, so a string has one
//! spelling.

use crate::{hex, scan};

#[inline]
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Turns the output from `start` on into a JSON string.
pub(super) fn quote(out: &mut Vec<u8>, start: usize) {
    let text = out.split_off(start);
    out.push(b'"');
    escape(out, &text);
    out.push(b'"');
}

#[inline]
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &str) {
    if scan::any(text.as_bytes(), 0x20, *b"\"\\") {
        escape(out, text.as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[inline]
fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = rest.iter().copied().position(must_escape) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                let [high, low] = hex::digits(byte);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
