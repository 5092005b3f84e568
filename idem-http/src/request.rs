//! What a request asks for: the name of its operation, and its fingerprint.

use std::borrow::Cow;

use axum::extract::{MatchedPath, OriginalUri};
use http::request::Parts;
use http::{HeaderName, Uri};
use idem_runtime::{Error, Fingerprint, Fingerprinter};
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
        let lines: Vec<_> =
            request.headers.get_all(name).iter().map(|line| hex(line.as_bytes())).collect();
        fingerprinter = fingerprinter.arg(&(name.as_str(), lines))?;
    }
    Ok(fingerprinter.finish())
}

/// A nested router takes the front of the path away, and two of them may have routes of the same name.
fn asked_for(request: &Parts) -> &Uri {
    request.extensions.get::<OriginalUri>().map_or(&request.uri, |OriginalUri(uri)| uri)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
