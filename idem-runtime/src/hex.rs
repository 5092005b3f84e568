//! Bytes as lower-case hex digits, two for each byte.

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The two digits of a byte.
pub(crate) fn digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}

/// The byte with these digits; `None` for anything but lower-case digits, so that a byte has one
/// text.
pub(crate) fn byte(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    Some(high? << 4 | low?)
}

/// The digits of bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(bytes.iter().flat_map(|byte| digits(*byte)).map(char::from));
    text
}

/// The bytes with these digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks();
    if rest.is_empty() { pairs.iter().map(|pair| byte(*pair)).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_text() {
        let bytes: Vec<_> = (0..=255).collect();
        let text = encode(&bytes);
        assert_eq!(decode(&text), Some(bytes));
        assert_eq!(&text[..8], "00010203");
        assert_eq!(&text[text.len() - 4..], "feff");
        for bad in ["0", "000", "0g", "FF", "+1", " 1", "ä"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode(""), Some(Vec::new()));
    }
}
