//! Key templates: `payment:{req.user_id}:{id}` taken apart at compile time.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{LitInt, LitStr, Member};

use crate::problem::{Problem, Problems};

/// The runtime's limit. A template whose literals alone are longer never gives a key.
const MAX_KEY: usize = 512;

/// A part of a template.
pub(crate) enum Segment {
    Literal(String),
    Placeholder(Placeholder),
}

/// `{head.members}`.
pub(crate) struct Placeholder {
    /// As written.
    pub(crate) text: String,
    pub(crate) head: Ident,
    pub(crate) members: Vec<Member>,
}

/// Splits `literal` into alternating literals and placeholders. Each malformed placeholder is left
/// out and reported.
pub(crate) fn parse(literal: &LitStr, problems: &mut Problems) -> Option<Vec<Segment>> {
    let text = literal.value();
    let mut found = Vec::new();
    if text.is_empty() {
        found.push(Defect::new(
            "the key is empty",
            "leave `key` out to make the key from all arguments",
        ));
    }
    if text.chars().any(char::is_control) {
        let help = "remove it, because operators read and type keys";
        found.push(Defect::new("the key has a control character", help));
    }
    let segments = split(&text, literal.span(), &mut found);
    found.extend(begins_with_no_literal(&segments));
    let segments: Vec<_> = segments.into_iter().flatten().collect();
    let length: usize = segments.iter().map(Segment::min_len).sum();
    if length > MAX_KEY {
        found.push(Defect::new(
            "the key is longer than 512 bytes",
            "shorten the literal text; the limit includes the values",
        ));
    }
    for Defect { message, help } in found {
        problems.add(Problem::new(literal, message, help));
    }
    (!text.is_empty()).then_some(segments)
}

impl Segment {
    fn min_len(&self) -> usize {
        match self {
            Self::Literal(text) => text.len(),
            Self::Placeholder(_) => "(x)".len(),
        }
    }
}

struct Defect {
    message: String,
    help: String,
}

impl Defect {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The parts of a template, with `None` for each malformed placeholder.
fn split(text: &str, span: Span, found: &mut Vec<Defect>) -> Vec<Option<Segment>> {
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            literal.push_str(brace);
            rest = behind;
            continue;
        }
        if brace == "}" {
            found.push(Defect::new(
                "the key has an unmatched `}`",
                "write `{name}` for a value, and `}}` for a literal `}`",
            ));
            continue;
        }
        let Some(end) = rest.find('}') else {
            found.push(Defect::new(
                format!("the placeholder `{{{rest}` is not closed"),
                "write `{name}` for a value, and `{{` for a literal `{`",
            ));
            rest = "";
            break;
        };
        let placeholder = placeholder(&rest[..end], span).map_err(|defect| found.push(defect)).ok();
        rest = &rest[end + 1..];
        if !literal.is_empty() {
            segments.push(Some(Segment::Literal(std::mem::take(&mut literal))));
        } else if let Some(Some(Segment::Placeholder(before))) = segments.last()
            && let Some(this) = &placeholder
        {
            found.push(Defect::new(
                format!("nothing separates `{{{}}}` from `{{{}}}`", before.text, this.text),
                "put a separator between them, such as `:`",
            ));
        }
        segments.push(placeholder.map(Segment::Placeholder));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        segments.push(Some(Segment::Literal(literal)));
    }
    segments
}

/// Values come from outside: without a literal of its own, an operation meets every other that has
/// none.
fn begins_with_no_literal(segments: &[Option<Segment>]) -> Option<Defect> {
    const HELP: &str = "begin with a literal such as `job:`, so that operations with equal values have different keys";
    match segments.first()? {
        Some(Segment::Placeholder(first)) => {
            Some(Defect::new(format!("the key begins with the value `{{{}}}`", first.text), HELP))
        }
        Some(Segment::Literal(text)) if !text.contains(char::is_alphanumeric) => {
            let message = format!("the key begins with `{text}`, which names no operation");
            Some(Defect::new(message, HELP))
        }
        _ => None,
    }
}

fn placeholder(text: &str, span: Span) -> Result<Placeholder, Defect> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Defect::new(
            "a placeholder of the key is empty",
            "write the name of an argument, such as `{order_id}`, or a field of one, such as `{req.order_id}`",
        ));
    }
    if text == "_" {
        return Err(Defect::new(
            "the argument `_` has no name to put into the key",
            "give the argument a name",
        ));
    }
    let mut parts = text.split('.');
    let head = parts.next().and_then(|head| identifier(head, span));
    let members: Option<Vec<_>> = parts.map(|part| member(part, span)).collect();
    match (head, members) {
        (Some(head), Some(members)) => Ok(Placeholder { text: text.to_owned(), head, members }),
        _ => Err(Defect::new(
            format!("the placeholder `{{{text}}}` is neither an argument nor a field of one"),
            "write `{order_id}`, `{req.order_id}` or `{self.region}`; pass a computed value as an argument",
        )),
    }
}

fn member(text: &str, span: Span) -> Option<Member> {
    if let Some(name) = identifier(text, span) {
        return Some(Member::Named(name));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let index = LitInt::new(text, span).base10_parse().ok()?;
    Some(Member::Unnamed(syn::Index { index, span }))
}

/// The identifier, raw if it is a keyword: templates are written without `r#`.
fn identifier(text: &str, span: Span) -> Option<Ident> {
    let mut ident = Ident::parse_any.parse_str(text).ok()?;
    // Without the spaces that the parser has skipped.
    let name = ident.to_string();
    let is_special = ["self", "Self", "super", "crate", "_"].contains(&name.as_str());
    if !is_special && syn::parse_str::<Ident>(&name).is_err() {
        ident = Ident::new_raw(&name, span);
    }
    ident.set_span(span);
    Some(ident)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, Vec<String>> {
        let mut found = Vec::new();
        let segments = split(text, Span::call_site(), &mut found);
        if !found.is_empty() {
            return Err(found.into_iter().map(|defect| defect.message).collect());
        }
        let shown = segments.into_iter().flatten().map(|segment| match segment {
            Segment::Literal(text) => text,
            Segment::Placeholder(placeholder) => {
                format!("<{}+{}>", placeholder.head, placeholder.members.len())
            }
        });
        Ok(shown.collect())
    }

    #[test]
    fn literals_and_placeholders_alternate() {
        let segments = shown("pay:{req.user.0}:{ id }!").unwrap();
        assert_eq!(segments, ["pay:", "<req+2>", ":", "<id+0>", "!"]);
    }

    #[test]
    fn doubled_braces_are_characters() {
        assert_eq!(shown("{{a}}{b}}}").unwrap(), ["{a}", "<b+0>", "}"]);
    }

    #[test]
    fn keywords_become_raw_and_self_does_not() {
        assert_eq!(shown("{type}-{self.region}").unwrap(), ["<r#type+0>", "-", "<self+1>"]);
    }

    #[test]
    fn spaces_behind_a_keyword_are_no_part_of_it() {
        assert_eq!(shown("{type .0}-{self .region}").unwrap(), ["<r#type+1>", "-", "<self+1>"]);
    }

    #[test]
    fn first_literal_has_a_letter_or_a_digit() {
        let begins = |text| {
            let segments = split(text, Span::call_site(), &mut Vec::new());
            begins_with_no_literal(&segments).map(|defect| defect.message)
        };
        for fits in ["job:{a}", "a{a}", "7/{a}", ":ä{a}", "job"] {
            assert_eq!(begins(fits), None, "{fits}");
        }
        for (refused, message) in [
            ("{a}", "the key begins with the value `{a}`"),
            ("{self.b}:{a}", "the key begins with the value `{self.b}`"),
            (":{a}", "the key begins with `:`, which names no operation"),
            (" - {a}", "the key begins with ` - `, which names no operation"),
            ("{{{a}}}", "the key begins with `{`, which names no operation"),
            (":", "the key begins with `:`, which names no operation"),
        ] {
            assert_eq!(begins(refused).as_deref(), Some(message), "{refused}");
        }
    }

    #[test]
    fn defects_are_named() {
        for (text, message) in [
            ("a{b", "the placeholder `{b` is not closed"),
            ("a}", "the key has an unmatched `}`"),
            ("a{}", "a placeholder of the key is empty"),
            ("{a}{b}", "nothing separates `{a}` from `{b}`"),
            ("{a:?}", "the placeholder `{a:?}` is neither an argument nor a field of one"),
            ("{a.b()}", "the placeholder `{a.b()}` is neither an argument nor a field of one"),
            ("{_}", "the argument `_` has no name to put into the key"),
        ] {
            assert_eq!(shown(text).unwrap_err(), [message]);
        }
    }

    #[test]
    fn one_defect_hides_no_other() {
        let messages = shown("a}{}{b()}:{_}{c}{d}{e").unwrap_err();
        assert_eq!(
            messages,
            [
                "the key has an unmatched `}`",
                "a placeholder of the key is empty",
                "the placeholder `{b()}` is neither an argument nor a field of one",
                "the argument `_` has no name to put into the key",
                "nothing separates `{c}` from `{d}`",
                "the placeholder `{e` is not closed",
            ]
        );
    }
}
