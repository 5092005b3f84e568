//! A request with a key: its body is read, then it is handled once, to completion even if the
//! client disconnects.

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
use idem_runtime::key::RecordKey;
use idem_runtime::policy::ErrorPolicy;
use idem_runtime::record::{CrashPolicy, Failure, Payload};
use idem_runtime::{Error, Key, Operation, macro_support};
use tokio::time::error::Elapsed;
use tower_service::Service;

use crate::answer::HandlerAnswer;
use crate::body::{Body, BoxError, Read, Whole};
use crate::bypass::Bypass;
use crate::config::{Config, OverLimit};
use crate::extract::IdempotencyKey;
use crate::fingerprint::fingerprint;
use crate::principal::Principal;
use crate::problem::{Problem, ProblemKind};
use crate::request::operation_name;
use crate::unstoppable::Unstoppable;

/// A request with a key and a principal.
pub(crate) struct KeyedRequest {
    pub(crate) config: Arc<Config>,
    pub(crate) key: String,
    pub(crate) principal: Principal,
}

/// The error of a call without an answer.
enum HandlerError<E> {
    /// The inner service's error: the key is released, and the server gets the error.
    Service(E),
    /// The handler panicked or its response broke off: the outcome is unknown.
    Crashed,
    /// The engine's error.
    Engine(Error),
}

/// Records `Indeterminate` for a crash if the crash policy is to park, and nothing otherwise.
struct ByCrashPolicy(CrashPolicy);

impl<E> ErrorPolicy<HandlerError<E>> for ByCrashPolicy {
    fn record(&self, failed: &HandlerError<E>, _: &AnyCodec) -> Option<Failure> {
        let parks = self.0 == CrashPolicy::Park && matches!(failed, HandlerError::Crashed);
        parks.then_some(Failure::Indeterminate)
    }

    fn revive(&self, _: &Payload, _: &AnyCodec) -> Option<Result<HandlerError<E>, CodecError>> {
        None
    }
}

/// The next step after reading a request's body.
pub(crate) enum AfterBody<F, R: Send + 'static, E: Send + 'static> {
    /// The inner service handles it without idempotency.
    Pass {
        response: F,
        why: Bypass,
    },
    Respond(Response<Body<R>>),
    Handle(Unstoppable<Result<Response<Body<R>>, E>>),
}

impl KeyedRequest {
    /// Lines 6 to 17 of the [list](crate).
    pub(crate) fn with_body<S, Q, R>(
        self,
        mut inner: S,
        mut head: Parts,
        body: Result<Result<Read<Q>, Q::Error>, Elapsed>,
    ) -> AfterBody<S::Future, R, S::Error>
    where
        S: Service<Request<Body<Q>>, Response = Response<R>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        Q: HttpBody<Data = Bytes> + Send + 'static,
        Q::Error: Into<BoxError>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Send,
    {
        let config = &self.config;
        head.extensions.insert(IdempotencyKey::new(&self.key));
        let refused = match body {
            Ok(Ok(Read::Whole(body))) => {
                let (operation, record) = self.operation(&head, &body);
                let request = Request::from_parts(head, Body::whole(body));
                let caller = RecordOwner { principal: self.principal, record };
                let config = Arc::clone(config);
                return AfterBody::Handle(handle(config, caller, operation, inner, request));
            }
            Ok(Ok(Read::TooLarge(body))) if config.request_limit.over == OverLimit::Bypass => {
                let why = Bypass::RequestTooLarge;
                head.extensions.insert(why);
                return AfterBody::Pass {
                    response: inner.call(Request::from_parts(head, body)),
                    why,
                };
            }
            Ok(Ok(Read::TooLarge(_))) => config.problem(ProblemKind::BodyTooLarge),
            Ok(Err(error)) => config.problem(classify_body_error(&*error.into())),
            Err(Elapsed { .. }) => config.problem(ProblemKind::BodyTimeout),
        };
        AfterBody::Respond(refused.into_response())
    }
}

/// Layers outside of this one may limit bodies too.
fn classify_body_error(error: &(dyn StdError + 'static)) -> ProblemKind {
    let mut causes = successors(Some(error), |&error| error.source());
    if causes.any(<dyn StdError>::is::<LengthLimitError>) {
        ProblemKind::BodyTooLarge
    } else {
        ProblemKind::BodyUnreadable
    }
}

/// The principal of a request, and the name of its record if the key is valid.
struct RecordOwner {
    principal: Principal,
    record: Option<RecordKey>,
}

/// The same call into the engine that an `#[idempotent]` function makes.
fn handle<S, Q, R>(
    config: Arc<Config>,
    caller: RecordOwner,
    operation: Operation,
    mut inner: S,
    request: Request<Body<Q>>,
) -> Unstoppable<Result<Response<Body<R>>, S::Error>>
where
    S: Service<Request<Body<Q>>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Q: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    let over_quota = |config: &Config, retry_after| {
        let problem = Problem::new(ProblemKind::QuotaExceeded).with_retry_after(retry_after);
        Ok(HandlerAnswer::Problem(config.adapt(problem)))
    };
    let (quota_config, run_config) = (Arc::clone(&config), Arc::clone(&config));
    let RecordOwner { principal, record } = caller;
    let counted = principal.clone();
    let run = async move {
        let config = run_config;
        // Only the claim tells whether the key is new: a released key keeps its count of attempts.
        let is_new = idem_runtime::current().is_none_or(|call| call.attempt() <= 1);
        if is_new && let Err(retry_after) = config.take_of_quota(&counted) {
            return over_quota(&config, retry_after);
        }
        let method = request.method().clone();
        let response = inner.call(request).await.map_err(HandlerError::Service)?;
        HandlerAnswer::of(&config, method, response).await.map_err(|_| HandlerError::Crashed)
    };
    let operation = operation
        .errors(ByCrashPolicy(config.on_crash))
        .store_if(HandlerAnswer::is_kept)
        .map_err(HandlerError::Engine);
    let answer = async move {
        match quota_config.over_quota(&principal, record.as_ref()).await {
            Some(retry_after) => over_quota(&quota_config, retry_after),
            None => operation.run(run).await,
        }
    };
    let tasks = config.tasks.clone();
    // The engine resumes a panic after it has applied the crash policy, so before the client gets
    // its 500 and may retry.
    let answer = AssertUnwindSafe(answer)
        .catch_unwind()
        .map(|answer| answer.unwrap_or(Err(HandlerError::Crashed)));
    let response = answer.map(move |answer| match answer {
        Ok(answer) => Ok(answer.into_response()),
        Err(HandlerError::Service(error)) => Err(error),
        Err(HandlerError::Crashed) => {
            tracing::error!("a handler panicked, or its response broke off");
            Ok(config.problem(ProblemKind::HandlerFailed).into_response())
        }
        Err(HandlerError::Engine(error)) => Ok(config.failed(&error).into_response()),
    });
    Unstoppable::new(tasks.track(response))
}

impl KeyedRequest {
    /// The engine reports and counts mistakes in the key or the fingerprint.
    fn operation(&self, request: &Parts, body: &Whole) -> (Operation, Option<RecordKey>) {
        let config = &*self.config;
        let fingerprint = fingerprint(request, &config.fingerprinted, &config.bodies, &body.data);
        // A key space of its own, because clients choose the keys.
        let key = Key::http(self.key.as_str());
        let tenant = self.principal.tenant();
        let named = |key| RecordKey::new(config.idem.namespace(), tenant.as_deref(), key).ok();
        let record = key.as_ref().ok().and_then(named);
        let name = operation_name(request);
        let mut operation = macro_support::operation(Ok(config.idem.clone()), name, fingerprint)
            .key(key)
            .codec(MsgPack)
            .on_crash(config.on_crash);
        if let Some(tenant) = tenant {
            operation = operation.tenant(tenant);
        }
        if let Some(ttl) = config.ttl {
            operation = operation.ttl(ttl);
        }
        if let Some(lease) = config.lease {
            operation = operation.lease(lease);
        }
        if !config.wait.is_zero() {
            operation = operation.wait(config.wait);
        }
        if config.fail_open {
            operation = operation.fail_open();
        }
        (operation, record)
    }
}
