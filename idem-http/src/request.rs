//! What a request asks for: the name of its operation, and its fingerprint.

use std::borrow::Cow;

use axum::extract::{MatchedPath, OriginalUri};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri};
use idem_runtime::{Error, Fingerprint, Fingerprinter};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::body::Whole;

/// The operation's name in metrics and spans: method and route. A path may hold ids, so without a route it is the method alone.
pub(crate) fn operation_name(request: &Parts) -> Cow<'static, str> {
    let method = request.method.as_str();
    Cow::Owned(match request.extensions.get::<MatchedPath>() {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_owned(),
    })
}

/// Method, path, query, the headers named and the body, all of them byte for byte.
///
/// It does not depend on the operation's name: naming a route otherwise changes nothing for the keys that are stored.
pub(crate) fn fingerprint(
    request: &Parts,
    headers: &[HeaderName],
    body: &Whole,
) -> Result<Fingerprint, Error> {
    let uri = asked_for(request);
    let mut fingerprinter = Fingerprinter::new("http")
        .arg(request.method.as_str())?
        .arg(uri.path())?
        .arg(&uri.query())?
        .arg(&hex(&Sha256::digest(&body.data)))?;
    for name in headers {
        let lines: Vec<_> = request.headers.get_all(name).iter().map(Line::of).collect();
        fingerprinter = fingerprinter.arg(&(name.as_str(), lines))?;
    }
    Ok(fingerprinter.finish())
}

/// A header's line: most often a text, which no other bytes are written as.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'r> {
    Text(&'r str),
    Other { hex: String },
}

impl<'r> Line<'r> {
    fn of(line: &'r HeaderValue) -> Self {
        line.to_str().map_or_else(|_| Self::Other { hex: hex(line.as_bytes()) }, Self::Text)
    }
}

/// A nested router takes the front of the path away, and two of them may have routes of the same name.
fn asked_for(request: &Parts) -> &Uri {
    request.extensions.get::<OriginalUri>().map_or(&request.uri, |OriginalUri(uri)| uri)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
