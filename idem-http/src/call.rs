//! A request with a key: read, then handled once and to the end, even when the client goes away.

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

use crate::answer::Answer;
use crate::body::{Body, BoxError, Read, Whole};
use crate::bypass::Bypass;
use crate::config::{Config, OverLimit};
use crate::extract::IdempotencyKey;
use crate::fingerprint::fingerprint;
use crate::principal::Principal;
use crate::problem::{Problem, ProblemKind};
use crate::request::operation_name;
use crate::unstoppable::Unstoppable;

/// Whose key it is, and under which settings.
pub(crate) struct Call {
    pub(crate) config: Arc<Config>,
    pub(crate) key: String,
    pub(crate) principal: Principal,
}

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

/// What becomes of a request whose body was read, or not.
pub(crate) enum Next<F, R: Send + 'static, E: Send + 'static> {
    /// It is handled without idempotency.
    Pass {
        response: F,
        why: Bypass,
    },
    Respond(Response<Body<R>>),
    Handle(Unstoppable<Result<Response<Body<R>>, E>>),
}

impl Call {
    /// Lines 6 to 17 of the [list](crate).
    pub(crate) fn go_on<S, Q, R>(
        self,
        mut inner: S,
        mut head: Parts,
        body: Result<Result<Read<Q>, Q::Error>, Elapsed>,
    ) -> Next<S::Future, R, S::Error>
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
                let whose = Whose { principal: self.principal, record };
                let config = Arc::clone(config);
                return Next::Handle(handle(config, whose, operation, inner, request));
            }
            Ok(Ok(Read::TooLarge(body))) if config.request_limit.over == OverLimit::Bypass => {
                let why = Bypass::RequestTooLarge;
                head.extensions.insert(why);
                return Next::Pass { response: inner.call(Request::from_parts(head, body)), why };
            }
            Ok(Ok(Read::TooLarge(_))) => config.problem(ProblemKind::BodyTooLarge),
            Ok(Err(error)) => config.problem(unread(&*error.into())),
            Err(Elapsed { .. }) => config.problem(ProblemKind::BodyTimeout),
        };
        Next::Respond(refused.into_response())
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

/// Whose key a request has, and what its record is called, where it can have one.
struct Whose {
    principal: Principal,
    record: Option<RecordKey>,
}

/// The same call into the engine that an `#[idempotent]` function makes.
fn handle<S, Q, R>(
    config: Arc<Config>,
    whose: Whose,
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
        Ok(Answer::Problem(config.told(problem)))
    };
    let (looking, handling) = (Arc::clone(&config), Arc::clone(&config));
    let Whose { principal, record } = whose;
    let counted = principal.clone();
    let body = async move {
        let config = handling;
        // Here, because only now it is known whether the key is a new one: one that was given back keeps its count of owners.
        let is_new = idem_runtime::current().is_none_or(|call| call.attempt() <= 1);
        if is_new && let Err(retry_after) = config.take_of_quota(&counted) {
            return over_quota(&config, retry_after);
        }
        let method = request.method().clone();
        let response = inner.call(request).await.map_err(Failed::Service)?;
        Answer::of(&config, method, response).await.map_err(|_| Failed::Crashed)
    };
    let operation = operation
        .errors(ByCrashPolicy(config.on_crash))
        .store_if(Answer::is_kept)
        .map_err(Failed::Ours);
    let answered = async move {
        match looking.over_quota(&principal, record.as_ref()).await {
            Some(retry_after) => over_quota(&looking, retry_after),
            None => operation.run(body).await,
        }
    };
    let tasks = config.tasks.clone();
    // The engine lets a panic go on when the crash policy is applied, so before the client gets its 500 and perhaps tries again.
    let answered = AssertUnwindSafe(answered)
        .catch_unwind()
        .map(|answered| answered.unwrap_or(Err(Failed::Crashed)));
    let responded = answered.map(move |answer| match answer {
        Ok(answer) => Ok(answer.into_response()),
        Err(Failed::Service(error)) => Err(error),
        Err(Failed::Crashed) => {
            tracing::error!("a handler panicked, or its response broke off");
            Ok(config.problem(ProblemKind::HandlerFailed).into_response())
        }
        Err(Failed::Ours(error)) => Ok(config.failed(&error).into_response()),
    });
    Unstoppable::new(tasks.track(responded))
}

impl Call {
    /// What is wrong with it, the engine says, and counts.
    fn operation(&self, request: &Parts, body: &Whole) -> (Operation, Option<RecordKey>) {
        let config = &*self.config;
        let fingerprint = fingerprint(request, &config.fingerprinted, &config.bodies, &body.data);
        // In a space of its own: a client chooses it.
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
