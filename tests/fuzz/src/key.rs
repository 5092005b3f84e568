//! Key templates, and the keys that are made of them.

use idem_runtime::key::KeyBuilder;
use proc_macro2::Span;
use syn::LitStr;

use crate::problem::Problems;
use crate::template::{Segment, parse};

/// A template, and lines of values for its placeholders. What a template says is found again in what it was made of, and its literals and
/// the values in the key that they have made: so no two templates or lists of values make the same key.
pub(crate) fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let template = lines.next().unwrap_or_default();
    let Some(segments) = parsed(template) else { return };
    let again = parsed(&written(&segments)).expect("a template that was written is read");
    assert_eq!(written(&again), written(&segments));
    let are_apart = |pair: &[Segment]| is_literal(&pair[0]) != is_literal(&pair[1]);
    assert!(segments.windows(2).all(are_apart), "{template:?}");

    let values: Vec<&str> = lines.collect();
    if values.is_empty() {
        return;
    }
    let mut values = values.into_iter().cycle();
    let values: Vec<&str> = segments.iter().map(|_| values.next().unwrap_or_default()).collect();
    let Some(key) = key(&segments, &values) else { return };
    let expected = segments.iter().zip(&values).map(|(segment, value)| match segment {
        Segment::Literal(text) => Part { is_literal: true, text: text.clone() },
        Segment::Placeholder(_) => Part { is_literal: false, text: (*value).to_owned() },
    });
    assert_eq!(read(&key), Some(expected.collect()));
}

fn parsed(template: &str) -> Option<Vec<Segment>> {
    let mut problems = Problems::default();
    let segments = parse(&LitStr::new(template, Span::call_site()), &mut problems);
    segments.filter(|_| problems.into_errors().is_none())
}

fn is_literal(segment: &Segment) -> bool {
    matches!(segment, Segment::Literal(_))
}

fn written(segments: &[Segment]) -> String {
    let write = |segment: &Segment| match segment {
        Segment::Literal(text) => text.replace('{', "{{").replace('}', "}}"),
        Segment::Placeholder(placeholder) => format!("{{{}}}", placeholder.text),
    };
    segments.iter().map(write).collect()
}

fn key(segments: &[Segment], values: &[&str]) -> Option<String> {
    let mut key = KeyBuilder::new(64);
    for (segment, value) in segments.iter().zip(values) {
        key = match segment {
            Segment::Literal(text) => key.literal(text),
            Segment::Placeholder(placeholder) => key.value(&placeholder.text, value).ok()?,
        };
    }
    Some(key.finish().ok()?.as_str().to_owned())
}

/// A part of a key: a literal or a value.
#[derive(Debug, PartialEq)]
struct Part {
    is_literal: bool,
    text: String,
}

/// Takes a key apart from the left, without knowing the template.
fn read(key: &str) -> Option<Vec<Part>> {
    let (mut parts, mut rest, mut is_literal) = (Vec::new(), key, true);
    while !rest.is_empty() {
        let end = if is_literal { rest.find('(').unwrap_or(rest.len()) } else { rest.find(')')? };
        if end > 0 {
            parts.push(Part { is_literal, text: unescaped(&rest[..end])? });
        }
        rest = rest.get(end + 1..).unwrap_or_default();
        is_literal = !is_literal;
    }
    Some(parts)
}

fn unescaped(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), value);
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = rest.get(at + 3..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}
