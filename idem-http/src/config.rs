//! What the layer's user has set, as services and calls read it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use idem_runtime::key::RecordKey;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::Storage;
use idem_runtime::{Error, Idempotency};
use tokio::time::timeout;

use crate::fingerprint::Bodies;
use crate::principal::{Principal, ResolvePrincipal};
use crate::problem::{Problem, ProblemKind};
use crate::profile::Profile;
use crate::quota::Quota;
use crate::snapshot::Kept;
use crate::tasks::Tasks;
use crate::telemetry;

/// Everything that a service has to know.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) idem: Idempotency,
    pub(crate) principal: Arc<dyn ResolvePrincipal>,
    pub(crate) profile: Profile,
    pub(crate) methods: Vec<Method>,
    pub(crate) requires_key: Option<Arc<Predicate>>,
    pub(crate) header: HeaderName,
    pub(crate) request_limit: Limit,
    pub(crate) response_limit: Limit,
    pub(crate) body_timeout: Duration,
    pub(crate) fingerprinted: Vec<HeaderName>,
    pub(crate) bodies: Bodies,
    pub(crate) kept: Kept,
    pub(crate) ttl: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) wait: Duration,
    pub(crate) on_crash: CrashPolicy,
    pub(crate) fail_open: bool,
    pub(crate) tasks: Tasks,
    pub(crate) quota: Option<Arc<Quota>>,
    pub(crate) page: Cow<'static, str>,
}

type Predicate = dyn Fn(&Parts) -> bool + Send + Sync;

#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) bytes: usize,
    pub(crate) over: OverLimit,
}

/// What is done with a body that has more bytes than its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLimit {
    /// A request is refused with a 413 and not handled. A response reaches its caller, and its duplicates are refused with
    /// [`ResponseNotStored`](ProblemKind::ResponseNotStored): the request is handled once in any case.
    #[default]
    Refuse,
    /// The request is handled without idempotency, and a response releases its key, so that a repeated request is handled again. The response says
    /// so in the header `Idempotency-Bypassed`.
    Bypass,
}

impl Config {
    pub(crate) fn requires_key(&self, request: &Parts) -> bool {
        match &self.requires_key {
            Some(requires) => requires(request),
            None => self.profile.requires_key,
        }
    }

    /// Counts a new key of the principal; or how long it has to wait with it.
    pub(crate) fn take_of_quota(&self, principal: &Principal) -> Result<(), Duration> {
        self.quota.as_ref().map_or(Ok(()), |quota| quota.take(principal))
    }

    /// How long the principal has to wait with a key that is a new one, where its quota is used up.
    ///
    /// Who is refused here claims nothing: the record of a key that was claimed and given back stays for its ttl, and the quota is what keeps
    /// others from filling the storage. A look that fails or takes long leaves it to the claim, and to [`take_of_quota`](Self::take_of_quota).
    pub(crate) async fn over_quota(
        &self,
        principal: &Principal,
        record: Option<&RecordKey>,
    ) -> Option<Duration> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let retry_after = self.quota.as_ref()?.used_up(principal)?;
        let record = record?;
        let looked = timeout(PATIENCE, self.idem.storage().load(record)).await;
        matches!(looked, Ok(Ok(None))).then_some(retry_after)
    }

    /// A problem as this layer tells it, counted.
    pub(crate) fn problem(&self, kind: ProblemKind) -> Problem {
        self.told(Problem::new(kind))
    }

    /// Likewise, of what the engine says; what the client has no part in is logged, since the document does not tell it.
    pub(crate) fn failed(&self, error: &Error) -> Problem {
        let problem = Problem::from(error);
        if problem.kind().status().is_server_error() {
            let (code, error) = (problem.kind().code(), error as &(dyn StdError + 'static));
            tracing::error!(code, error, "a request with a key could not be answered");
        }
        self.told(problem)
    }

    /// A problem that is made already, as this layer tells it, counted.
    pub(crate) fn told(&self, problem: Problem) -> Problem {
        telemetry::problem(problem.kind().code());
        let status: StatusCode = self.profile.status_of(problem.kind());
        problem.with_status(status).with_page(self.page.clone())
    }
}
