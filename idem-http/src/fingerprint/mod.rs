//! The fingerprint of a request: what it asks for, however it is spelt.
//!
//! An honest retry says the same once more, but not always in the same bytes: a form is sent with a new boundary, a map is written in
//! another order. What is compared depends on the body's content type:
//!
//! | body | compared | where it is not that |
//! |---|---|---|
//! | `application/json`, `…+json`, in UTF-8 | its [canonical JSON](idem_runtime::canonical::from_json) | its bytes |
//! | `multipart/…` | its parts in their order, each by its headers' bytes and by its content: JSON as above, anything else byte for byte | its bytes |
//! | with a `Content-Encoding`, and anything else | its bytes | |
//!
//! Each kind is hashed apart from the others, so that bytes which happen to be some other body's canonical form are another request.

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
pub(crate) use body::{Bodies, Said};
use media_type::MediaType;

/// Method, path, query, the headers named and the body.
///
/// It does not depend on the operation's name: naming a route otherwise changes nothing for the keys that are stored.
pub(crate) fn fingerprint(
    request: &Parts,
    headers: &[HeaderName],
    bodies: &Bodies,
    body: &Bytes,
) -> Result<Fingerprint, Error> {
    let uri = asked_for(request);
    let media_type = MediaType::of(&request.headers);
    let said = said(request, bodies, media_type.as_ref(), body);
    let mut fingerprinter = Fingerprinter::new("http")
        .arg(request.method.as_str())?
        .arg(uri.path())?
        .arg(&uri.query())?
        .arg(&(said.kind(), hex(&said.hash(body))))?;
    for name in headers {
        fingerprinter = match &media_type {
            Some(media_type) if *name == CONTENT_TYPE && !said.is_exact() => {
                fingerprinter.arg(&(name.as_str(), media_type))?
            }
            _ => {
                let lines: Vec<_> = request.headers.get_all(name).iter().map(Line::of).collect();
                fingerprinter.arg(&(name.as_str(), lines))?
            }
        };
    }
    Ok(fingerprinter.finish())
}

/// What a body says, by the layer's settings and its content type.
fn said(request: &Parts, bodies: &Bodies, media_type: Option<&MediaType>, body: &Bytes) -> Said {
    if let Some(said) = bodies.by_hook(request, body) {
        return said;
    }
    let is_encoded = request.headers.contains_key(CONTENT_ENCODING);
    let Some(media_type) = media_type.filter(|_| !bodies.exact && !is_encoded) else {
        return Said::Exact;
    };
    if media_type.is_json() {
        return from_json(body).map_or(Said::Exact, Said::Json);
    }
    let parts = media_type.boundary().and_then(|boundary| multipart::parts(body, boundary));
    parts.map_or(Said::Exact, |parts| Said::Multipart(multipart::hash(&parts)))
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
