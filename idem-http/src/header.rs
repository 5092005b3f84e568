//! The header field: the key of a request.
//!
//! A quoted string is the draft's syntax, a Structured Field item (RFC 9651) whose parameters are
//! ignored. Most clients send the key without quotes, so that is accepted too, and both forms are
//! the same key.

use http::{HeaderMap, HeaderName};

use crate::problem::ProblemKind;

/// The key in the header field `name`; `None` without that field.
pub(crate) fn key(
    headers: &HeaderMap,
    name: &HeaderName,
    max_len: usize,
) -> Result<Option<String>, ProblemKind> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(ProblemKind::KeyRepeated);
    }
    let line = line.as_bytes().trim_ascii();
    let key = match line {
        // A character in quotes takes at most two bytes; longer values are not parsed.
        [b'"', ..] if line.len() > 2 * max_len + MAX_PARAMETERS => {
            return Err(ProblemKind::KeyTooLong);
        }
        [b'"', ..] => quoted(line),
        _ if line.len() > max_len => return Err(ProblemKind::KeyTooLong),
        _ => bare(line),
    };
    match key {
        Some(key) if key.len() > max_len => Err(ProblemKind::KeyTooLong),
        Some(key) => Ok(Some(key)),
        None => Err(ProblemKind::KeyMalformed),
    }
}

/// Room for the quotes and for parameters.
const MAX_PARAMETERS: usize = 256;

fn quoted(line: &[u8]) -> Option<String> {
    let item: sfv::Item = sfv::Parser::new(line).parse().ok()?;
    let key = item.bare_item.as_string()?.as_str();
    (!key.is_empty()).then(|| key.to_owned())
}

fn bare(line: &[u8]) -> Option<String> {
    if line.is_empty() || !line.iter().copied().all(is_bare) {
        return None;
    }
    std::str::from_utf8(line).ok().map(ToOwned::to_owned)
}

/// The characters of a Structured Field token, and those of base64 and e-mail addresses.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/=@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("idempotency-key");

    fn parse(lines: &[&[u8]]) -> Result<Option<String>, ProblemKind> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line).unwrap());
        }
        key(&headers, &NAME, 16)
    }

    #[track_caller]
    fn reads(line: &str, key: &str) {
        assert_eq!(parse(&[line.as_bytes()]), Ok(Some(key.to_owned())), "{line}");
    }

    #[track_caller]
    fn refuses(line: &[u8], why: ProblemKind) {
        assert_eq!(parse(&[line]), Err(why), "{}", line.escape_ascii());
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        reads("\"8e03978e-40d5\"", "8e03978e-40d5");
        reads("8e03978e-40d5", "8e03978e-40d5");
        reads("  \"padded\" ", "padded");
    }

    #[test]
    fn quotes_may_hold_what_a_bare_key_may_not() {
        reads(r#""a, b""#, "a, b");
        reads(r#""say \"x\"""#, "say \"x\"");
        refuses(b"a, b", ProblemKind::KeyMalformed);
    }

    #[test]
    fn parameters_mean_nothing() {
        reads("\"key\";version=2", "key");
    }

    #[test]
    fn no_field_is_no_key() {
        assert_eq!(parse(&[]), Ok(None));
    }

    #[test]
    fn two_lines_are_refused_even_if_they_agree() {
        assert_eq!(parse(&[b"a", b"a"]), Err(ProblemKind::KeyRepeated));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for line in [
            &b""[..],
            b"\"\"",
            b"\"open",
            b"\"a\" \"b\"",
            b"\"a\", \"b\"",
            b"two words",
            b"a\tb",
            b"\"caf\xc3\xa9\"",
            b"caf\xe9",
        ] {
            refuses(line, ProblemKind::KeyMalformed);
        }
    }

    #[test]
    fn length_is_that_of_the_key_in_bytes() {
        reads("0123456789abcdef", "0123456789abcdef");
        reads(r#""\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"""#, &"\"".repeat(16));
        refuses(b"0123456789abcdefg", ProblemKind::KeyTooLong);
        refuses(b"\"0123456789abcdefg\"", ProblemKind::KeyTooLong);
        refuses(&[b'"'; 4096], ProblemKind::KeyTooLong);
    }
}
