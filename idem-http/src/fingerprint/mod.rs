//! The fingerprint of a request: its content, not its spelling.
//!
//! A retry may have the same content in other bytes: a form with a new boundary, a map in another
//! order. The body's content type decides what is compared:
//!
//! | body | compared | otherwise |
//! |---|---|---|
//! | `application/json`, `…+json`, in UTF-8 | its [canonical JSON](idem_runtime::canonical::from_json) | its bytes |
//! | `multipart/…` | its parts in their order, each by its headers' bytes and by its content: JSON as above, anything else byte for byte | its bytes |
//! | with a `Content-Encoding`, and anything else | its bytes | |
//!
//! The kind is part of the hash, so that a body whose bytes are another body's canonical form is
//! another request.

mod body;
mod media_type;
pub(crate) mod multipart;

use axum::extract::OriginalUri;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri};
use idem_runtime::canonical::from_json;
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::internal::hex;
use idem_runtime::{Error, Fingerprint};
use serde::Serialize;

pub use body::BodyFingerprint;
pub(crate) use body::{Bodies, BodyContent};
use media_type::MediaType;

/// Method, path, query, the headers named and the body.
///
/// It does not contain the operation's name, so that stored keys stay valid if a route is renamed.
pub(crate) fn fingerprint(
    request: &Parts,
    headers: &[HeaderName],
    bodies: &Bodies,
    body: &Bytes,
) -> Result<Fingerprint, Error> {
    let uri = original_uri(request);
    let media_type = MediaType::of(&request.headers);
    let content = body_content(request, bodies, media_type.as_ref(), body);
    let mut fingerprinter = Fingerprinter::new("http")
        .arg(request.method.as_str())?
        .arg(uri.path())?
        .arg(&uri.query())?
        .arg(&(content.kind(), hex(&content.hash(body))))?;
    for name in headers {
        fingerprinter = match &media_type {
            Some(media_type) if *name == CONTENT_TYPE && !content.is_exact() => {
                fingerprinter.arg(&(name.as_str(), media_type))?
            }
            _ => {
                let lines: Vec<_> =
                    request.headers.get_all(name).iter().map(FieldLine::of).collect();
                fingerprinter.arg(&(name.as_str(), lines))?
            }
        };
    }
    Ok(fingerprinter.finish())
}

/// The content of a body, by the layer's settings and its content type.
fn body_content(
    request: &Parts,
    bodies: &Bodies,
    media_type: Option<&MediaType>,
    body: &Bytes,
) -> BodyContent {
    if let Some(said) = bodies.by_hook(request, body) {
        return said;
    }
    let is_encoded = request.headers.contains_key(CONTENT_ENCODING);
    let Some(media_type) = media_type.filter(|_| !bodies.exact && !is_encoded) else {
        return BodyContent::Exact;
    };
    if media_type.is_json() {
        return from_json(body).map_or(BodyContent::Exact, BodyContent::Json);
    }
    let parts = media_type.boundary().and_then(|boundary| multipart::parts(body, boundary));
    parts.map_or(BodyContent::Exact, |parts| BodyContent::Multipart(multipart::hash(&parts)))
}

/// A header line, as text if it is visible ASCII, else as hex.
#[derive(Serialize)]
#[serde(untagged)]
enum FieldLine<'r> {
    Text(&'r str),
    Other { hex: String },
}

impl<'r> FieldLine<'r> {
    fn of(line: &'r HeaderValue) -> Self {
        line.to_str().map_or_else(|_| Self::Other { hex: hex(line.as_bytes()) }, Self::Text)
    }
}

/// A nested router removes a prefix of the path, and two of them may have routes of the same name.
fn original_uri(request: &Parts) -> &Uri {
    request.extensions.get::<OriginalUri>().map_or(&request.uri, |OriginalUri(uri)| uri)
}
