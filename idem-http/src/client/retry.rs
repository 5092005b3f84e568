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

/// Adds a key to requests and repeats them with that key until there is an answer, by the rules of
/// the [module](super).
///
/// It wraps every tower service that takes an [`http::Request`] with a body that is `Clone`, such
/// as hyper's client:
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

/// A client behind a [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    layer: RetryLayer,
    inner: S,
}

impl RetryLayer {
    /// At most six attempts within a minute.
    pub fn new() -> Self {
        let header = HeaderName::from_static("idempotency-key");
        Self { attempts: 6, patience: Duration::from_secs(60), header }
    }

    /// The number of attempts.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// The time within which the last attempt starts. A longer `Retry-After` ends the attempts.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The header with the key. Default: `Idempotency-Key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Whether the layer handles a request, which then has a key.
    fn adds_key<B>(&self, request: &mut Request<B>) -> bool {
        if request.headers().contains_key(&self.header) {
            return true;
        }
        if ![Method::POST, Method::PATCH].contains(request.method()) {
            return false;
        }
        // A UUID is always a valid header value.
        let Ok(key) = HeaderValue::try_from(format!("\"{}\"", Key::random())) else { return false };
        request.headers_mut().insert(self.header.clone(), key);
        true
    }

    /// The pauses between attempts, if the server names none.
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
        // Calls the service that was polled ready, not its clone.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        if !self.layer.adds_key(&mut request) {
            return Box::pin(inner.call(request));
        }
        let layer = self.layer.clone();
        Box::pin(async move {
            let started = Instant::now();
            let mut pauses = layer.pauses();
            loop {
                let outcome = inner.call(request.clone()).await;
                let Retry::After(retry_after) = classify(&outcome) else { return outcome };
                let Some(pause) = pauses.next() else { return outcome };
                let pause = retry_after.unwrap_or(pause);
                // Saturates, because servers choose the duration.
                if started.elapsed().saturating_add(pause) > layer.patience {
                    return outcome;
                }
                drop(outcome);
                sleep(pause).await;
                poll_fn(|context| inner.poll_ready(context)).await?;
            }
        })
    }
}

/// Whether to send a request again.
enum Retry {
    /// Yes, after the time that the server names, if it names one.
    After(Option<Duration>),
    Never,
}

fn classify<R, E>(outcome: &Result<Response<R>, E>) -> Retry {
    let Ok(response) = outcome else { return Retry::After(None) };
    if response.headers().contains_key(REPLAYED) {
        return Retry::Never;
    }
    let header = response.headers().get(header::RETRY_AFTER);
    // A date would need the clock of this machine: the next pause takes its place.
    let after = header.and_then(|header| header.to_str().ok()?.parse().ok());
    let is_retryable = match response.status() {
        StatusCode::CONFLICT => header.is_some(),
        status => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
    };
    if is_retryable { Retry::After(after.map(Duration::from_secs)) } else { Retry::Never }
}
