//! The header field of HTTP.

use idem_http::fuzzing::key_of;

const MAX_LEN: usize = 64;

/// Lines of the field. A key is printable ASCII of a bounded length, and means the same when it is quoted.
pub(crate) fn field(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let Some(Ok(Some(key))) = key_of(&lines, MAX_LEN) else { return };
    assert_eq!(lines.len(), 1, "a key of two lines");
    assert!((1..=MAX_LEN).contains(&key.len()), "{key:?}");
    assert!(key.bytes().all(|byte| (0x20..0x7F).contains(&byte)), "{key:?}");
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    let again = key_of(&[quoted.as_bytes()], MAX_LEN);
    assert!(matches!(&again, Some(Ok(Some(other))) if *other == key), "{key:?} became {again:?}");
}
