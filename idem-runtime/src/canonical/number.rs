//! Numbers: integers with all their digits, everything else as ECMAScript's `Number::toString` lays
//! it out.

use super::error::{Error, Reason};

/// From this many integer digits on, ECMAScript writes an exponent.
const MAX_PLAIN_DIGITS: i64 = 21;

/// Up to this many zeros after the point, it does not.
const MAX_PLAIN_ZEROS: i64 = 5;

#[inline]
pub(super) fn write_integer<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest decimal that reads back as the same float. For an `f32` that decimal has at most 9
/// digits, so it is also the shortest one of the `f64` that a JSON reader parses.
pub(super) fn write_float<F: ryu_js::Float>(
    out: &mut Vec<u8>,
    value: F,
    finite: bool,
) -> Result<(), Error> {
    if !finite {
        return Err(Reason::NotFinite.into());
    }
    out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
    Ok(())
}

/// A number given as text. Nothing is rounded: texts of different numbers give different output.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let decimal = Decimal::parse(text).ok_or(Reason::NumberText)?;
    decimal.write(out).ok_or_else(|| Reason::NumberText.into())
}

/// The parts of a JSON number: `-12.5e+3` is negative, `12`, `5`, `+3`.
struct Decimal<'t> {
    negative: bool,
    integer: &'t str,
    fraction: &'t str,
    exponent: Option<&'t str>,
}

impl<'t> Decimal<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix('-');
        let (mantissa, exponent) = match unsigned.unwrap_or(text).split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned.unwrap_or(text), None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let exponent_digits = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
        let well_formed = is_digits(integer)
            && (integer == "0" || !integer.starts_with('0'))
            && fraction.is_none_or(is_digits)
            && exponent_digits.is_none_or(is_digits);
        well_formed.then_some(Self {
            negative: unsigned.is_some(),
            integer,
            fraction: fraction.unwrap_or_default(),
            exponent,
        })
    }

    /// Writes the canonical form, or returns `None` when the exponent is beyond reason.
    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        if self.exponent.is_none() && self.fraction.is_empty() && self.integer != "0" {
            out.extend(self.negative.then_some(b'-'));
            out.extend_from_slice(self.integer.as_bytes());
            return Some(());
        }
        let all = [self.integer, self.fraction].concat();
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            out.push(b'0');
            return Some(());
        }
        let point = i64::try_from(self.integer.len())
            .ok()?
            .checked_sub(i64::try_from(all.len() - significant.len()).ok()?)?
            .checked_add(self.exponent.map_or(Ok(0), str::parse).ok()?)?;

        if self.negative {
            out.push(b'-');
        }
        write_digits(out, digits, point)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// ECMAScript's layout of `0.digits × 10^point`, where `digits` neither begins nor ends with a
/// zero.
fn write_digits(out: &mut Vec<u8>, digits: &str, point: i64) -> Option<()> {
    let digits = digits.as_bytes();
    let count = i64::try_from(digits.len()).ok()?;
    if (1..=MAX_PLAIN_DIGITS).contains(&point) {
        let (integer, fraction) = digits.split_at(usize::try_from(point.min(count)).ok()?);
        out.extend_from_slice(integer);
        write_zeros(out, point - count);
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else if (-MAX_PLAIN_ZEROS..=0).contains(&point) {
        out.extend_from_slice(b"0.");
        write_zeros(out, -point);
        out.extend_from_slice(digits);
    } else {
        let (first, rest) = digits.split_first()?;
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if point > 0 { b"e+" } else { b"e-" });
        write_integer(out, point.checked_sub(1)?.unsigned_abs());
    }
    Some(())
}

fn write_zeros(out: &mut Vec<u8>, count: i64) {
    out.extend((0..count).map(|_| b'0'));
}
