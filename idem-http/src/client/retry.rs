//! The layer and its service.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use idem_runtime::Key;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::REPLAYED;

/// Adds a key to requests and sends them again, with that key, until there is an answer. The rules are those of the [module](super).
///
/// It is for every tower service that takes an [`http::Request`] with a body that can be cloned, such as hyper's client:
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use idempotency::http::client::RetryLayer;
/// use tower_layer::Layer;
///
/// let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
/// let client = RetryLayer::new().layer(client);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryLayer {
    attempts: usize,
    patience: Duration,
    header: HeaderName,
}

/// What [`RetryLayer`] makes of a client.
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    layer: RetryLayer,
    inner: S,
}

impl RetryLayer {
    /// Sends a request at most six times, and not after a minute.
    pub fn new() -> Self {
        let header = HeaderName::from_static("idempotency-key");
        Self { attempts: 6, patience: Duration::from_secs(60), header }
    }

    /// How often a request is sent at most.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long after a request's beginning it may be sent once more. A `Retry-After` that says more ends it.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The header with the key. Default: `Idempotency-Key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Whether the layer has anything to do with a request, which then has a key.
    fn concerns<B>(&self, request: &mut Request<B>) -> bool {
        if request.headers().contains_key(&self.header) {
            return true;
        }
        if ![Method::POST, Method::PATCH].contains(request.method()) {
            return false;
        }
        // A UUID is a header's value in any case.
        let Ok(key) = HeaderValue::try_from(format!("\"{}\"", Key::random())) else { return false };
        request.headers_mut().insert(self.header.clone(), key);
        true
    }

    /// The pauses of a request where the server names none.
    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(self.attempts.saturating_sub(1))
            .with_jitter()
            .build()
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> RetryService<S> {
        RetryService { layer: self.clone(), inner }
    }
}

impl<S, Q, R> Service<Request<Q>> for RetryService<S>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    Q: Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        if !self.layer.concerns(&mut request) {
            return Box::pin(inner.call(request));
        }
        let layer = self.layer.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let mut pauses = layer.pauses();
            loop {
                let outcome = inner.call(request.clone()).await;
                let Some(told) = worth_another(&outcome) else { return outcome };
                let Some(pause) = pauses.next() else { return outcome };
                let pause = told.unwrap_or(pause);
                // A sum of durations that strangers choose must not overflow.
                if begun.elapsed().saturating_add(pause) > layer.patience {
                    return outcome;
                }
                drop(outcome);
                sleep(pause).await;
                poll_fn(|context| inner.poll_ready(context)).await?;
            }
        })
    }
}

/// Whether to send the request again, and after which time where the server says.
#[expect(clippy::option_option, reason = "the inner one is what the server says")]
fn worth_another<R, E>(outcome: &Result<Response<R>, E>) -> Option<Option<Duration>> {
    let Ok(response) = outcome else { return Some(None) };
    if response.headers().contains_key(REPLAYED) {
        return None;
    }
    let when = response.headers().get(header::RETRY_AFTER);
    // A date is not compared with the clock of this machine: the next pause will do.
    let told = when.and_then(|when| when.to_str().ok()?.parse().ok().map(Duration::from_secs));
    let may_pass = match response.status() {
        StatusCode::CONFLICT => when.is_some(),
        status => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
    };
    may_pass.then_some(told)
}
