//! Which part of a body is compared, and the user's function that decides it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use idem_runtime::canonical::{from_json_without, to_vec};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The fingerprinted part of a request's body, which the function of
/// [`fingerprint_body`](crate::IdempotencyLayer::fingerprint_body) returns.
///
/// Two requests with one key and equal fingerprints are the same request to the layer.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct BodyFingerprint(FingerprintChoice);

#[derive(Clone, PartialEq, Eq)]
enum FingerprintChoice {
    ByContentType,
    Exact,
    Own(Vec<u8>),
}

impl BodyFingerprint {
    /// As without the function: [by content type](crate#fingerprints), or byte for byte under
    /// [`exact_bodies`](crate::IdempotencyLayer::exact_bodies).
    pub fn by_content_type() -> Self {
        Self(FingerprintChoice::ByContentType)
    }

    /// Byte for byte.
    pub fn exact() -> Self {
        Self(FingerprintChoice::Exact)
    }

    /// This value in place of the body, in its [canonical form](idem_runtime::canonical). If it has
    /// none, because of a float that is not finite, the body is compared byte for byte.
    ///
    /// ```
    /// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
    /// use bytes::Bytes;
    /// use http::request::Parts;
    /// use idempotency::http::BodyFingerprint;
    ///
    /// /// A form in which the order of the fields means nothing.
    /// fn fields(_: &Parts, body: &Bytes) -> BodyFingerprint {
    ///     let mut fields: Vec<_> = body.split(|byte| *byte == b'&').collect();
    ///     fields.sort_unstable();
    ///     BodyFingerprint::of(&fields)
    /// }
    /// # let (head, ()) = http::Request::new(()).into_parts();
    /// # assert!(fields(&head, &Bytes::from("a=1&b=2")) == fields(&head, &Bytes::from("b=2&a=1")));
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(to_vec(value).map_or(FingerprintChoice::Exact, FingerprintChoice::Own))
    }

    /// The body's JSON object without these members, such as those that differ between deliveries
    /// of one event. Members of nested objects are compared. A body that is not such JSON is
    /// compared byte for byte.
    ///
    /// ```
    /// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
    /// use idempotency::http::BodyFingerprint;
    ///
    /// let of = |body: &str| BodyFingerprint::json_without(body.as_bytes(), &["pending_webhooks"]);
    /// let first = of(r#"{"id":"evt_1","pending_webhooks":2}"#);
    /// assert!(first == of(r#"{"pending_webhooks":1,"id":"evt_1"}"#));
    /// assert!(first != of(r#"{"pending_webhooks":1,"id":"evt_2"}"#));
    /// ```
    pub fn json_without(body: &[u8], members: &[&str]) -> Self {
        Self(
            from_json_without(body, members)
                .map_or(FingerprintChoice::Exact, FingerprintChoice::Own),
        )
    }
}

impl fmt::Debug for BodyFingerprint {
    /// Without the body's content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            FingerprintChoice::ByContentType => "BodyFingerprint(by content type)",
            FingerprintChoice::Exact => "BodyFingerprint(exact)",
            FingerprintChoice::Own(_) => "BodyFingerprint(own)",
        })
    }
}

type FingerprintFn = dyn Fn(&Parts, &Bytes) -> BodyFingerprint + Send + Sync;

/// A layer's settings about bodies.
#[derive(Clone, Default)]
pub(crate) struct Bodies {
    /// All bodies byte for byte.
    pub(crate) exact: bool,
    hook: Option<Arc<FingerprintFn>>,
}

impl Bodies {
    pub(crate) fn ask(
        &mut self,
        hook: impl Fn(&Parts, &Bytes) -> BodyFingerprint + Send + Sync + 'static,
    ) {
        self.hook = Some(Arc::new(hook));
    }

    /// The user's function's decision, unless it leaves the decision to the layer.
    pub(super) fn by_hook(&self, request: &Parts, body: &Bytes) -> Option<BodyContent> {
        match self.hook.as_ref()?(request, body).0 {
            FingerprintChoice::ByContentType => None,
            FingerprintChoice::Exact => Some(BodyContent::Exact),
            FingerprintChoice::Own(json) => Some(BodyContent::Own(json)),
        }
    }
}

/// The compared content of a body.
pub(crate) enum BodyContent {
    /// Its bytes.
    Exact,
    /// Canonical JSON.
    Json(Vec<u8>),
    /// The hash of its parts.
    Multipart([u8; 32]),
    /// The value of the user's function.
    Own(Vec<u8>),
}

impl BodyContent {
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact)
    }

    /// The kind is part of the fingerprint, so that two kinds with equal bytes differ.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Exact => "bytes",
            Self::Json(_) => "json",
            Self::Multipart(_) => "multipart",
            Self::Own(_) => "own",
        }
    }

    pub(super) fn hash(&self, body: &[u8]) -> [u8; 32] {
        match self {
            Self::Exact => sha256(body),
            Self::Json(json) | Self::Own(json) => sha256(json),
            Self::Multipart(hash) => *hash,
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
