//! The media type of a body, from its `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use mime::Mime;
use serde::{Serialize, Serializer};

/// The longest header line that is parsed.
const LONGEST: usize = 1_024;

/// A media type with distinct parameters. Letter case of types and parameter names, and quotes
/// around values, make no difference.
pub(super) struct MediaType(Mime);

impl MediaType {
    /// `None` unless there is exactly one line, and it can be parsed.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        let line = lines.next().filter(|_| lines.next().is_none())?;
        Self::parse(line.to_str().ok()?)
    }

    /// `None` if it is malformed or ambiguous.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim_ascii();
        let media_type: Mime = (line.len() <= LONGEST).then_some(line)?.parse().ok()?;
        let names: Vec<_> = media_type.params().map(|(name, _)| name).collect();
        let is_repeated = |at: usize| names[..at].contains(&names[at]);
        (!(0..names.len()).any(is_repeated)).then_some(Self(media_type))
    }

    /// Whether it is JSON in UTF-8.
    pub(super) fn is_json(&self) -> bool {
        let essence = self.0.essence_str();
        let is_utf8 = self.0.get_param("charset").is_none_or(|charset| charset == "utf-8");
        is_utf8 && (essence == "application/json" || essence.ends_with("+json"))
    }

    /// The boundary of a multipart body; `None` if it has a character that is invalid in
    /// boundaries.
    pub(super) fn boundary(&self) -> Option<&str> {
        let boundary = self.0.get_param("boundary")?.as_str();
        let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let is_one = (1..=70).contains(&boundary.len())
            && boundary.bytes().all(may_be)
            && !boundary.ends_with(' ');
        (self.is_multipart() && is_one).then_some(boundary)
    }

    fn is_multipart(&self) -> bool {
        self.0.type_() == mime::MULTIPART
    }

    /// Whether a parameter concerns only the spelling of the body.
    fn is_spelling(&self, parameter: mime::Name<'_>) -> bool {
        (parameter == mime::BOUNDARY && self.is_multipart())
            || (parameter == mime::CHARSET && self.is_json())
    }
}

impl Serialize for MediaType {
    /// As part of a fingerprint: an object, and so different from every header line.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Parsed<'m> {
            essence: &'m str,
            parameters: Vec<(&'m str, &'m str)>,
        }

        let others = self.0.params().filter(|(name, _)| !self.is_spelling(*name));
        let parameters = others.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Parsed { essence: self.0.essence_str(), parameters }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_would_take_long_is_not_read() {
        let parameters: String = (0..100_000)
            .flat_map(|number| [";p".to_owned(), number.to_string(), "=1".to_owned()])
            .collect();
        assert!(MediaType::parse(&format!("application/json{parameters}")).is_none());
        assert!(MediaType::parse("application/json;p0=1;p1=1").is_some_and(|read| read.is_json()));
    }
}
