//! Extractors.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use idem_runtime::{Context, current};

use crate::bypass::Bypass;
use crate::problem::{Problem, ProblemKind};

/// The key that the client chose: an extractor for axum, and an extension of every request that the
/// layer handles.
///
/// A request without a key is a 400; `Option<IdempotencyKey>` accepts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The key's text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Problem> {
        request.extensions.get().cloned().ok_or_else(|| Problem::new(ProblemKind::KeyMissing))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(request.extensions.get().cloned())
    }
}

/// The handler's run: its fence and attempt to pass on downstream, and whether its lease is lost.
/// An extractor for axum that derefs to a [`Context`].
///
/// A request that is handled without idempotency is refused: with a 400 without a key, a 413 if the
/// body was too large, a 503 if the storage is down and the layer fails open.
/// `Option<IdempotentRun>` accepts it.
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// use axum::{Router, routing::post};
/// use idempotency::http::{IdempotencyKey, IdempotentRun};
///
/// async fn pay(key: IdempotencyKey, run: IdempotentRun) -> String {
///     // The gateway can reject a repeated key, and a fence lower than the last one.
///     format!("paid for {} with fence {}", key.as_str(), run.fence())
/// }
/// let router: Router = Router::new().route("/payments", post(pay));
/// ```
#[derive(Clone, Debug)]
pub struct IdempotentRun(Context);

impl Deref for IdempotentRun {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotentRun {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Problem> {
        current().map(Self).ok_or_else(|| Problem::new(missing_run(request)))
    }
}

/// The problem of a request that is handled without idempotency.
fn missing_run(request: &Parts) -> ProblemKind {
    if request.extensions.get::<IdempotencyKey>().is_none() {
        ProblemKind::KeyMissing
    } else if request.extensions.get::<Bypass>().is_some() {
        ProblemKind::BodyTooLarge
    } else {
        ProblemKind::StorageUnavailable
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for IdempotentRun {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(current().map(Self))
    }
}
