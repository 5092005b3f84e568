//! Parsers, opened for a fuzzer. Not for people.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use idem_runtime::codec::{AnyCodec, MsgPack};
use idem_runtime::record::Payload;

use crate::body::{Body, Read, read};
use crate::fingerprint::multipart;
use crate::header;
use crate::problem::ProblemKind;
use crate::snapshot::{Kept, Restored, Snapshot};

const NAME: HeaderName = HeaderName::from_static("idempotency-key");

/// The key in these lines of the field; `None` where HTTP lets no such line through.
pub fn key_of(lines: &[&[u8]], max_len: usize) -> Option<Result<Option<String>, ProblemKind>> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(NAME, HeaderValue::from_bytes(line).ok()?);
    }
    Some(header::key(&headers, &NAME, max_len))
}

/// The headers and contents of a multipart body's parts, and their hash; `None` where the body is
/// compared byte for byte.
#[expect(clippy::type_complexity, reason = "a pair")]
pub fn parts_of(body: &[u8], boundary: &str) -> Option<(Vec<(Vec<u8>, Vec<u8>)>, [u8; 32])> {
    let parts = multipart::parts(body, boundary)?;
    let hash = multipart::hash(&parts);
    Some((parts.iter().map(|part| (part.headers.to_vec(), part.content.to_vec())).collect(), hash))
}

/// The response in these bytes, as it is stored when it is a handler's; `None` where they are no
/// response.
pub fn stored_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let codec = AnyCodec::from(MsgPack);
    let payload = Payload { codec: codec.tag(), bytes: Bytes::copy_from_slice(bytes) };
    let restored: Restored = codec.decode(&payload).ok()?;
    let (response, body) = restored.into_response::<Body<axum::body::Body>>().into_parts();
    let whole = match read(body, usize::MAX).now_or_never()?.ok()? {
        Read::Whole(whole) => whole,
        Read::TooLarge(_) => return None,
    };
    let mut kept = Kept::default();
    response.headers.keys().for_each(|name| kept.add(name.clone()));
    let snapshot = Snapshot::of(&kept, &Method::HEAD, &response, &whole);
    Some(codec.encode(&snapshot).ok()?.bytes.to_vec())
}
