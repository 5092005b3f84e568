//! Key templates, and the keys that are made of them.

use idem_runtime::KeyBuilder;
use proc_macro2::Span;
use syn::LitStr;

use crate::template::{Segment, parse};

/// A template, and lines of values for its placeholders. What a template says is found again in what it was made of, and the values in the
/// key that they have made: so no two lists of values make the same key.
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
    let expected: Vec<&str> = segments
        .iter()
        .zip(&values)
        .filter(|(segment, _)| !is_literal(segment))
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(read(&segments, &key), Some(expected.iter().map(ToString::to_string).collect()));
}

fn parsed(template: &str) -> Option<Vec<Segment>> {
    parse(&LitStr::new(template, Span::call_site())).ok()
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

/// The first character of the literal behind a placeholder.
fn next(segments: &[Segment], at: usize) -> Option<char> {
    match segments.get(at + 1) {
        Some(Segment::Literal(text)) => text.chars().next(),
        _ => None,
    }
}

fn key(segments: &[Segment], values: &[&str]) -> Option<String> {
    let mut key = KeyBuilder::new(64);
    for (at, (segment, value)) in segments.iter().zip(values).enumerate() {
        key = match segment {
            Segment::Literal(text) => key.literal(text),
            Segment::Placeholder(placeholder) => {
                key.value(&placeholder.text, value, next(segments, at)).ok()?
            }
        };
    }
    Some(key.finish().ok()?.as_str().to_owned())
}

/// Takes a key apart from the left, as somebody does who knows the template.
fn read(segments: &[Segment], key: &str) -> Option<Vec<String>> {
    let (mut values, mut rest, mut after_value) = (Vec::new(), key, false);
    for (at, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Literal(text) => {
                if after_value && text.starts_with('%') {
                    rest = rest.strip_prefix('%')?;
                }
                rest = rest.strip_prefix(text.as_str())?;
            }
            Segment::Placeholder(_) => {
                let end = end(rest, next(segments, at))?;
                values.push(unescaped(&rest[..end])?);
                rest = &rest[end..];
            }
        }
        after_value = !is_literal(segment);
    }
    rest.is_empty().then_some(values)
}

/// Where a value ends: at the first character of what follows, but not within an escape.
fn end(rest: &str, next: Option<char>) -> Option<usize> {
    let Some(next) = next else { return Some(rest.len()) };
    let mut at = 0;
    loop {
        let here = rest.get(at..)?;
        match here.chars().next()? {
            '%' if here.starts_with("%%") && next == '%' => return Some(at),
            '%' => at += 3,
            character if character == next => return Some(at),
            character => at += character.len_utf8(),
        }
    }
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
