//! The service: classifies requests by their head.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use crate::body::{Body, BoxError};
use crate::call::KeyedRequest;
use crate::config::Config;
use crate::extract::IdempotencyKey;
use crate::future::ResponseFuture;
use crate::header::key;
use crate::problem::ProblemKind;

/// A service that honours `Idempotency-Key`; made by [`IdempotencyLayer`](crate::IdempotencyLayer).
#[derive(Clone)]
pub struct IdempotencyService<S> {
    config: Arc<Config>,
    inner: S,
}

impl<S> IdempotencyService<S> {
    pub(crate) fn new(config: Arc<Config>, inner: S) -> Self {
        Self { config, inner }
    }
}

impl<S, Q, R> Service<Request<Q>> for IdempotencyService<S>
where
    S: Service<Request<Body<Q>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Q: HttpBody<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError> + Send,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Response = Response<Body<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Q, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (head, body) = request.into_parts();
        match classify(&self.config, &head) {
            Ok(None) => {
                let request = Request::from_parts(head, Body::untouched(body));
                ResponseFuture::passing(self.inner.call(request))
            }
            Ok(Some(call)) => {
                // Calls the service that was polled ready, not its clone.
                let fresh = self.inner.clone();
                let inner = mem::replace(&mut self.inner, fresh);
                ResponseFuture::reading(call, inner, head, body)
            }
            Err(problem) => ResponseFuture::ready(self.config.problem(problem).into_response()),
        }
    }
}

/// Lines 1 to 5 of the [list](crate): the request with its key and principal, or `None` if it
/// passes through.
fn classify(config: &Arc<Config>, request: &Parts) -> Result<Option<KeyedRequest>, ProblemKind> {
    // Of two layers the outer one handles the request. The inner one would find the key in use by
    // this very request.
    let has_outer_layer = request.extensions.get::<IdempotencyKey>().is_some();
    if has_outer_layer || !config.methods.contains(&request.method) {
        return Ok(None);
    }
    let Some(key) = key(&request.headers, &config.header, config.profile.max_key_len)? else {
        return if config.requires_key(request) { Err(ProblemKind::KeyMissing) } else { Ok(None) };
    };
    let principal = config.principal.resolve(request);
    let principal = principal.filter(|principal| !principal.is_blank());
    let principal = principal.ok_or(ProblemKind::PrincipalUnknown)?;
    Ok(Some(KeyedRequest { config: Arc::clone(config), key, principal }))
}

impl<S: fmt::Debug> fmt::Debug for IdempotencyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
