//! A multipart body.

use idem_http::fuzzing::parts_of;

/// The first line is the boundary. What is taken apart has the same parts, and the same hash, under a boundary that it does not contain;
/// put together again it is what it was.
pub(crate) fn body(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(boundary) = std::str::from_utf8(&bytes[..end]) else { return };
    let body = &bytes[end + 1..];
    let Some((parts, hash)) = parts_of(body, boundary) else { return };
    assert_eq!(put_together(boundary, &parts), body.strip_suffix(b"\r\n").unwrap_or(body));
    let other = "0123456789abcdef0123456789abcdef";
    if !contains(body, other) {
        let again = put_together(other, &parts);
        assert_eq!(parts_of(&again, other), Some((parts, hash)), "the boundary is part of them");
    }
}

fn put_together(boundary: &str, parts: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (headers, content) in parts {
        for piece in [b"--", boundary.as_bytes(), b"\r\n", headers, b"\r\n\r\n", content, b"\r\n"] {
            body.extend_from_slice(piece);
        }
    }
    body.extend_from_slice(format!("--{boundary}--").as_bytes());
    body
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}
