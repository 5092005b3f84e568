//! The layer's settings, as services and calls read them.

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

/// All settings of a service.
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

/// The treatment of a body that exceeds its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverLimit {
    /// A request is refused with a 413 and not handled. A response reaches its caller, and its
    /// duplicates are refused with [`ResponseNotStored`](ProblemKind::ResponseNotStored): the
    /// request is handled once in any case.
    #[default]
    Refuse,
    /// The request is handled without idempotency, and a response releases its key, so that a
    /// repeated request is handled again. The response says so in the header
    /// `Idempotency-Bypassed`.
    Bypass,
}

impl Config {
    pub(crate) fn requires_key(&self, request: &Parts) -> bool {
        match &self.requires_key {
            Some(requires) => requires(request),
            None => self.profile.requires_key,
        }
    }

    /// Counts a new key of the principal, or gives the time until the next period.
    pub(crate) fn take_of_quota(&self, principal: &Principal) -> Result<(), Duration> {
        self.quota.as_ref().map_or(Ok(()), |quota| quota.take(principal))
    }

    /// The time until the next period, if the principal's quota is used up and the key is new.
    ///
    /// A request that is refused here claims nothing. The record of a released key stays for its
    /// ttl, and the quota keeps principals from filling the storage. If the look-up fails or takes
    /// too long, the claim and [`take_of_quota`](Self::take_of_quota) decide.
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

    /// A problem, counted and adapted to the profile.
    pub(crate) fn problem(&self, kind: ProblemKind) -> Problem {
        self.adapt(Problem::new(kind))
    }

    /// The problem of an engine's error. Errors that are not the client's fault are logged, because
    /// the document hides them.
    pub(crate) fn failed(&self, error: &Error) -> Problem {
        let problem = Problem::from(error);
        if problem.kind().status().is_server_error() {
            let (code, error) = (problem.kind().code(), error as &(dyn StdError + 'static));
            tracing::error!(code, error, "a request with a key could not be answered");
        }
        self.adapt(problem)
    }

    /// Counts a problem and gives it the profile's status and the settings' page.
    pub(crate) fn adapt(&self, problem: Problem) -> Problem {
        telemetry::problem(problem.kind().code());
        let status: StatusCode = self.profile.status_of(problem.kind());
        problem.with_status(status).with_page(self.page.clone())
    }
}
