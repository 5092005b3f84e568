//! Keys from templates.

use std::fmt;

use idem_runtime::{Error, Key, KeyBuilder};
use proptest::prelude::*;

/// Fills a template as the attribute does: `literals` has one more element than `values`; the first
/// and the last may be empty, those between two values are not.
fn fill(literals: &[String], values: &[String]) -> Result<Key, Error> {
    let mut builder = KeyBuilder::new(64);
    for (index, literal) in literals.iter().enumerate() {
        if !literal.is_empty() {
            builder = builder.literal(literal);
        }
        if let Some(value) = values.get(index) {
            builder = builder.value("v", value, literals[index + 1].chars().next())?;
        }
    }
    builder.finish()
}

fn filled(literals: &[&str], values: &[&str]) -> String {
    let own = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
    fill(&own(literals), &own(values)).unwrap().as_str().to_owned()
}

#[test]
fn only_what_could_be_misread_is_escaped() {
    assert_eq!(filled(&["p:", ":", ""], &["a:b", "c:d"]), "p:a%3Ab:c:d");
    assert_eq!(filled(&["", "/", "-", ""], &["a/b-c", "a/b-c", "a/b-c"]), "a%2Fb-c/a/b%2Dc-a/b-c");
    assert_eq!(filled(&["p:", ""], &["100%"]), "p:100%25");
    assert_eq!(filled(&["p:", ""], &["a\nb\u{7f}\u{85}"]), "p:a%0Ab%7F%C2%85");
    assert_eq!(filled(&["", "é", ""], &["é", "ü"]), "%C3%A9éü");
    assert_eq!(filled(&["", "A", ""], &["j%A", "x"]), "j%25%41Ax");
}

#[test]
fn percent_after_a_value_is_doubled() {
    assert_eq!(filled(&["%", "%", "%"], &["x", "25%Z"]), "%x%%25%25Z%%");
    assert_ne!(filled(&["", "%", ""], &["x", "25%Z"]), filled(&["", "%", ""], &["x%", "25Z"]));
}

#[test]
fn empty_value_is_an_error_that_names_the_placeholder() {
    let error = KeyBuilder::new(0).literal("p:").value("req.user", "", None).unwrap_err();
    assert!(error.to_string().contains("`req.user` is empty"), "{error}");
}

#[test]
fn value_that_cannot_be_displayed_is_an_error() {
    struct Broken;
    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("secret")?;
            Err(fmt::Error)
        }
    }
    let error = KeyBuilder::new(0).value("broken", &Broken, None).unwrap_err();
    assert!(error.to_string().contains("`broken` cannot be displayed"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn value_that_is_too_long_is_an_error_and_is_not_read_to_its_end() {
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("0123456789")?;
            }
        }
    }
    /// Goes on after its formatter has refused, and claims that all is well.
    struct Stubborn;
    impl fmt::Display for Stubborn {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for _ in 0..1000 {
                let _ = f.write_str("0123456789");
            }
            Ok(())
        }
    }
    let huge = "x".repeat(10 << 20);
    for value in [&Endless as &dyn fmt::Display, &Stubborn, &huge] {
        let error = KeyBuilder::new(0).literal("p:").value("long", value, Some(':')).unwrap_err();
        assert!(error.to_string().contains("`long` makes the key too long"), "{error}");
    }
}

#[test]
fn key_is_bounded_with_its_escapes_and_literals() {
    let fits = "x".repeat(Key::MAX_LEN - 2);
    assert_eq!(filled(&["p:", ""], &[&fits]).len(), Key::MAX_LEN);
    let escaped = ":".repeat(Key::MAX_LEN / 3 + 1);
    KeyBuilder::new(0).value("v", &escaped, Some(':')).unwrap_err();
    KeyBuilder::new(0)
        .literal("p:")
        .value("v", &fits, None)
        .unwrap()
        .literal("!")
        .finish()
        .unwrap_err();
    KeyBuilder::new(usize::MAX).finish().unwrap_err();
    KeyBuilder::new(0).literal("a\tb").finish().unwrap_err();
}

/// A template with its literals, and two value lists for it.
fn template_and_values() -> impl Strategy<Value = (Vec<String>, Vec<String>, Vec<String>)> {
    // Few characters, so that values often contain literals, escapes and parts of either.
    const EDGE: &str = "[a:%25CA3/é\u{1f600}]{0,2}";
    const BETWEEN: &str = "[a:%25CA3/é\u{1f600}]{1,2}";
    const VALUE: &str = "[a:%25CA3/é\u{1f600}\n\u{85}]{1,5}";
    (1usize..4).prop_flat_map(|count| {
        let literals = (EDGE, prop::collection::vec(BETWEEN, count - 1), EDGE)
            .prop_map(|(first, middle, last)| [vec![first], middle, vec![last]].concat());
        let values = || prop::collection::vec(VALUE, count);
        (literals, values(), values())
    })
}

/// Reads the values out of a key, from the left and knowing nothing but the template.
fn read_back(literals: &[String], key: &str) -> Vec<String> {
    let mut rest = key.strip_prefix(literals[0].as_str()).unwrap();
    let mut values = Vec::new();
    for (index, literal) in literals.iter().enumerate().skip(1) {
        let end = literal.chars().next();
        let mut value = Vec::new();
        while let Some(next) = rest.chars().next() {
            let escape = rest.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match (next, escape) {
                ('%', Some(byte)) => {
                    value.push(byte);
                    rest = &rest[3..];
                }
                _ if Some(next) == end => break,
                _ => {
                    value.extend(next.to_string().bytes());
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        values.push(String::from_utf8(value).unwrap());
        let written = literal.replacen('%', "%%", usize::from(end == Some('%')));
        rest = rest.strip_prefix(written.as_str()).unwrap();
        assert!(index + 1 < literals.len() || rest.is_empty());
    }
    values
}

/// Cuts the first two values elsewhere: what a template that escapes nothing confuses.
fn recut(literals: &[String], values: &[String], at: usize) -> Option<Vec<String>> {
    let literal = literals[1].as_str();
    let joined = format!("{}{literal}{}", values[0], values.get(1)?);
    let cuts: Vec<(usize, &str)> = joined
        .match_indices(literal)
        .filter(|(cut, _)| *cut > 0 && cut + literal.len() < joined.len())
        .collect();
    let (cut, _) = *cuts.get(at % cuts.len().max(1))?;
    let (first, second) = (&joined[..cut], &joined[cut + literal.len()..]);
    Some([&[first.to_owned(), second.to_owned()], &values[2..]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn different_values_never_give_the_same_key((literals, a, b) in template_and_values()) {
        let (key_a, key_b) = (fill(&literals, &a).unwrap(), fill(&literals, &b).unwrap());
        prop_assert_eq!(a == b, key_a == key_b, "{:?}", key_a.as_str());
    }

    #[test]
    fn values_cut_elsewhere_never_give_the_same_key(
        (literals, a, _) in template_and_values(),
        at in 0usize..8,
    ) {
        if let Some(b) = recut(&literals, &a, at) {
            let (key_a, key_b) = (fill(&literals, &a).unwrap(), fill(&literals, &b).unwrap());
            prop_assert_eq!(a == b, key_a == key_b, "{:?}", key_a.as_str());
        }
    }

    /// That a key can be read back proves for all other values that they give another one.
    #[test]
    fn values_can_be_read_back_from_the_key((literals, values, _) in template_and_values()) {
        let key = fill(&literals, &values).unwrap();
        prop_assert_eq!(read_back(&literals, key.as_str()), values);
    }
}
