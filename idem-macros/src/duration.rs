//! Durations as people write them, checked at compile time.

use std::time::Duration;

use humantime::DurationError;
use syn::LitStr;

use crate::problem::Problem;

/// Longer than any retention that makes sense, and far from where a storage's milliseconds
/// overflow.
const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
const MIN: Duration = Duration::from_millis(1);

/// Units that name no fixed length of time.
const MONTHS_AND_YEARS: [&str; 8] = ["months", "month", "M", "years", "year", "yr", "yrs", "y"];

/// The duration that `literal` says, for the option `name`.
pub(crate) fn parse(name: &str, literal: &LitStr) -> Result<Duration, Problem> {
    let text = literal.value();
    let problem = |message: String, help: &str| Problem::new(literal, message, help);
    if let Some(unit) = units(&text).find(|unit| MONTHS_AND_YEARS.contains(unit)) {
        let help = match unit {
            "M" => "write `m` for minutes, or count in days: `30d`",
            _ => "count in days or weeks: `30d`, `52w`",
        };
        return Err(problem(format!("`{unit}` is not a fixed length of time"), help));
    }
    let duration = humantime::parse_duration(&text).map_err(|error| match error {
        DurationError::NumberOverflow => {
            problem(format!("the duration `{text}` overflows"), "durations go up to 100 years")
        }
        DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => problem(
            format!("unknown unit of time `{unit}`"),
            "the units are `ms`, `s`, `m`, `h`, `d` and `w`",
        ),
        DurationError::Empty => {
            problem(format!("the {name} is empty"), "write numbers with units: `15m`, `1h 30m`")
        }
        _ => problem(
            format!("`{text}` is not a duration"),
            "write numbers with units: `15m`, `1h 30m`, `500ms`",
        ),
    })?;
    if duration.is_zero() {
        Err(problem(format!("the {name} is zero"), zero_help(name)))
    } else if duration < MIN {
        Err(problem(
            format!("the {name} is shorter than a millisecond"),
            "storages keep time in milliseconds: write at least `1ms`",
        ))
    } else if duration > MAX {
        Err(problem(format!("the duration `{text}` overflows"), "durations go up to 100 years"))
    } else {
        Ok(duration)
    }
}

fn zero_help(name: &str) -> &'static str {
    match name {
        "wait" => "leave `wait` out: then a duplicate does not wait",
        "lease" => "give the time that an owner may be silent: `30s`",
        _ => "give the time that results are kept for: `15m`",
    }
}

fn units(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        parse("ttl", &LitStr::new(text, Span::call_site())).ok()
    }

    #[test]
    fn spans_add_up() {
        assert_eq!(parsed("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parsed("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parsed("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parsed("2 weeks"), Some(Duration::from_secs(14 * 24 * 60 * 60)));
    }

    #[test]
    fn what_is_no_fixed_positive_length_is_refused() {
        for text in ["", " ", "5", "0s", "-5s", "5 parsecs", "1M", "2 months", "1y", "10us", "101y"]
        {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parsed("99999999999999999999s"), None);
        assert_eq!(parsed("99999999999w"), None);
    }
}
