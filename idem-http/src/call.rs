//! A request with a key: read, then handled once in a task of its own, which goes on when the client goes away.

use std::error::Error as StdError;
use std::iter::successors;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::LengthLimitError;
use idem_runtime::codec::{AnyCodec, CodecError, MsgPack};
use idem_runtime::policy::ErrorPolicy;
use idem_runtime::record::{CrashPolicy, Failure, Payload};
use idem_runtime::{Error, Operation};
use tokio::time::timeout;
use tower_service::Service;
use tracing::Instrument;

use crate::answer::Answer;
use crate::body::{Body, BoxError, Read, Whole, read};
use crate::bypass::Bypass;
use crate::extract::IdempotencyKey;
use crate::layer::{Config, OverLimit};
use crate::principal::Principal;
use crate::problem::{Problem, ProblemKind};
use crate::request::{fingerprint, operation_name};

/// Whose key it is, and under which settings.
pub(crate) struct Call {
    pub(crate) config: Arc<Config>,
    pub(crate) key: String,
    pub(crate) principal: Principal,
}

/// In the engine's words. Keys of HTTP are apart from those of functions: a client chooses them.
const KEYS: &str = "http:";

/// Why there is no answer.
enum Failed<E> {
    /// The service's own error: the key is released, and the server gets it.
    Service(E),
    /// The handler panicked or its response broke off: how far it came, nobody knows.
    Crashed,
    Ours(Error),
}

/// What is recorded where there is no answer.
struct ByCrashPolicy(CrashPolicy);

impl<E> ErrorPolicy<Failed<E>> for ByCrashPolicy {
    fn record(&self, failed: &Failed<E>, _: &AnyCodec) -> Option<Failure> {
        let parks = self.0 == CrashPolicy::Park && matches!(failed, Failed::Crashed);
        parks.then_some(Failure::Indeterminate)
    }

    fn revive(&self, _: &Payload, _: &AnyCodec) -> Option<Result<Failed<E>, CodecError>> {
        None
    }
}

/// Lines 6 to 17 of the [list](crate).
pub(crate) async fn handle<S, Q, R>(
    call: Call,
    mut inner: S,
    mut head: Parts,
    body: Q,
) -> Result<Response<Body<R>>, S::Error>
where
    S: Service<Request<Body<Q>>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Q: HttpBody<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    let config = Arc::clone(&call.config);
    let refused = |kind| Ok(config.problem(kind).into_response());
    head.extensions.insert(IdempotencyKey::new(&call.key));
    let limit = config.request_limit;
    let body = match timeout(config.body_timeout, read(body, limit.bytes)).await {
        Ok(Ok(Read::Whole(body))) => body,
        Ok(Ok(Read::TooLarge(body))) if limit.over == OverLimit::Bypass => {
            let why = Bypass::RequestTooLarge;
            head.extensions.insert(why);
            let response = inner.call(Request::from_parts(head, body)).await?;
            let mut response = response.map(Body::untouched);
            why.tell(response.headers_mut());
            return Ok(response);
        }
        Ok(Ok(Read::TooLarge(_))) => return refused(ProblemKind::BodyTooLarge),
        Ok(Err(error)) => return refused(unread(&*error.into())),
        Err(_) => return refused(ProblemKind::BodyTimeout),
    };
    let operation = match call.operation(&head, &body) {
        Ok(operation) => operation,
        Err(error) => return Ok(config.failed(&error).into_response()),
    };
    let request = Request::from_parts(head, Body::whole(body));
    let task = run(Arc::clone(&config), call.principal, operation, inner, request);
    let task = task.in_current_span();
    match config.tasks.spawn(task).await {
        Ok(response) => response,
        // The runtime is going away. The engine has seen that and goes by its crash policy.
        Err(error) => {
            tracing::error!(%error, "a handler did not come to its end");
            refused(ProblemKind::HandlerFailed)
        }
    }
}

/// A body may also be cut at a limit that somebody outside of this layer has set.
fn unread(error: &(dyn StdError + 'static)) -> ProblemKind {
    let mut causes = successors(Some(error), |&error| error.source());
    if causes.any(<dyn StdError>::is::<LengthLimitError>) {
        ProblemKind::BodyTooLarge
    } else {
        ProblemKind::BodyUnreadable
    }
}

/// In the task: the same call into the engine that an `#[idempotent]` function makes.
async fn run<S, Q, R>(
    config: Arc<Config>,
    principal: Principal,
    operation: Operation,
    mut inner: S,
    request: Request<Body<Q>>,
) -> Result<Response<Body<R>>, S::Error>
where
    S: Service<Request<Body<Q>>, Response = Response<R>>,
    R: HttpBody<Data = Bytes>,
{
    let method = request.method().clone();
    let body = async {
        // Here, because only now it is known that the key is a new one.
        if let Err(retry_after) = config.take_of_quota(&principal) {
            let problem = Problem::new(ProblemKind::QuotaExceeded).with_retry_after(retry_after);
            return Ok(Answer::Problem(config.told(problem)));
        }
        let handled = AssertUnwindSafe(async {
            let response = inner.call(request).await.map_err(Failed::Service)?;
            let answer = Answer::of(&config, method, response).await;
            answer.map_err(|_| Failed::Crashed)
        });
        // The engine knows what to do with a panic, but does it after the client got its 500 and perhaps tried again.
        handled.catch_unwind().await.unwrap_or(Err(Failed::Crashed))
    };
    let answer = operation
        .errors(ByCrashPolicy(config.on_crash))
        .store_if(Answer::is_kept)
        .map_err(Failed::Ours)
        .call(body)
        .await;
    match answer {
        Ok(answer) => Ok(answer.into_response()),
        Err(Failed::Service(error)) => Err(error),
        Err(Failed::Crashed) => {
            tracing::error!("a handler panicked, or its response broke off");
            Ok(config.problem(ProblemKind::HandlerFailed).into_response())
        }
        Err(Failed::Ours(error)) => Ok(config.failed(&error).into_response()),
    }
}

impl Call {
    fn operation(&self, request: &Parts, body: &Whole) -> Result<Operation, Error> {
        let config = &*self.config;
        let fingerprint = fingerprint(request, &config.fingerprinted, body)?;
        let mut operation = config
            .idem
            .operation(operation_name(request))
            .key(format!("{KEYS}{}", self.key))
            .with_fingerprint(Ok(fingerprint))
            .codec(MsgPack)
            .on_crash(config.on_crash);
        if let Some(tenant) = self.principal.tenant() {
            operation = operation.tenant(tenant);
        }
        if let Some(ttl) = config.ttl {
            operation = operation.ttl(ttl);
        }
        if let Some(lease) = config.lease {
            operation = operation.lease(lease);
        }
        if let Some(wait) = config.wait {
            operation = operation.wait(wait);
        }
        if config.fail_open {
            operation = operation.fail_open();
        }
        Ok(operation)
    }
}
