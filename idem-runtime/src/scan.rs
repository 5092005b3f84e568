//! A fast search for special bytes in text that rarely has one.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = ONES << 7;

/// Whether a byte of `text` is less than `below`, which is at most 128, or one of `equal`. Checks
/// eight bytes at a time; the last eight may overlap the ones before.
#[inline]
pub(crate) fn any<const N: usize>(text: &[u8], below: u8, equal: [u8; N]) -> bool {
    let within = |word: u64| special(word, below, equal);
    if let Some(last) = text.last_chunk() {
        let (words, _) = text.as_chunks();
        words.iter().any(|word| within(u64::from_ne_bytes(*word)))
            || within(u64::from_ne_bytes(*last))
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_ne_bytes(*half)));
        within(first << 32 | last)
    } else {
        text.iter().any(|byte| *byte < below || equal.contains(byte))
    }
}

/// Whether one of eight bytes is special. Subtraction over the whole word borrows from the next
/// byte only after a hit, so a false hit occurs only next to a true one.
#[inline]
fn special<const N: usize>(word: u64, below: u8, equal: [u8; N]) -> bool {
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let hits = equal
        .into_iter()
        .fold(less(word, below), |hits, byte| hits | less(word ^ (ONES * u64::from(byte)), 1));
    hits & HIGH_BITS != 0
}

/// Whether `text` has a control character or one of `others`. May also be true for a character
/// whose UTF-8 begins like that of U+0080 to U+009F.
#[inline]
pub(crate) fn any_control_or(text: &str, others: [u8; 2]) -> bool {
    any(text.as_bytes(), 0x20, [0x7F, 0xC2, others[0], others[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_wherever_it_is_and_no_other() {
        let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == 0xC2;
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    for filling in [b' ', b'!', b'#', 0x7F, 0x80, 0xC1, 0xC3, 0xFF] {
                        let mut text = vec![filling; len];
                        text[at] = byte;
                        assert_eq!(any(&text, 0x20, [b'"', 0xC2]), is_special(byte), "{text:?}");
                    }
                }
            }
        }
        assert!(!any(b"", 0x20, *b"a"));
    }

    #[test]
    fn every_control_character_is_found() {
        for control in (0..=0xFFFF).filter_map(char::from_u32).filter(|c| c.is_control()) {
            assert!(any_control_or(&control.to_string(), *b"%:"), "{control:?}");
        }
    }
}
