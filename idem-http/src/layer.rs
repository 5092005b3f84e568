//! The layer: its settings, and the service that it makes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method, header};
use idem_runtime::Idempotency;
use idem_runtime::record::CrashPolicy;
use tower_layer::Layer;

use crate::config::{Config, Limit, OverLimit};
use crate::fingerprint::{Bodies, BodyFingerprint};
use crate::principal::ResolvePrincipal;
use crate::problem::PROBLEMS_PAGE;
use crate::profile::Profile;
use crate::quota::Quota;
use crate::service::IdempotencyService;
use crate::snapshot::Kept;
use crate::tasks::Tasks;
use crate::telemetry;

/// Makes a service honour the header `Idempotency-Key`. The numbered list of the [module](crate)
/// says how a request is handled.
///
/// Put it inside of authentication, so that a replay is authorised like the first request, and
/// inside of compression, so that the stored response is not compressed for one client. With axum
/// use a [`Router::route_layer`](axum::Router::route_layer): a layer of the whole router also
/// requires a key without a route, and a 404 becomes a 400.
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// use axum::{Router, routing::post};
/// use idempotency::http::{IdempotencyLayer, anonymous};
///
/// let idem = idempotency::Idempotency::memory();
/// let router: Router = Router::new()
///     .route("/orders", post(async || "ordered"))
///     .route_layer(IdempotencyLayer::new(idem, anonymous()));
/// ```
#[derive(Clone)]
#[must_use]
pub struct IdempotencyLayer {
    /// Shared, because axum clones its services for every request.
    config: Arc<Config>,
}

/// How long a duplicate waits by default.
const PATIENCE: Duration = Duration::from_secs(10);

impl IdempotencyLayer {
    /// A layer on this handle's storage. `principal` gives the owner of a key:
    /// [`extension`](crate::extension), a closure, or explicitly [`anonymous`](crate::anonymous).
    pub fn new(idem: Idempotency, principal: impl ResolvePrincipal) -> Self {
        telemetry::describe();
        let config = Config {
            idem,
            principal: Arc::new(principal),
            profile: Profile::default(),
            methods: vec![Method::POST, Method::PATCH],
            requires_key: None,
            header: HeaderName::from_static("idempotency-key"),
            request_limit: Limit { bytes: 1024 * 1024, over: OverLimit::Refuse },
            response_limit: Limit { bytes: 512 * 1024, over: OverLimit::Refuse },
            body_timeout: Duration::from_secs(30),
            fingerprinted: vec![header::CONTENT_TYPE, header::CONTENT_ENCODING],
            bodies: Bodies::default(),
            kept: Kept::default(),
            ttl: None,
            lease: None,
            wait: PATIENCE,
            on_crash: CrashPolicy::Retry,
            fail_open: false,
            tasks: Tasks::default(),
            quota: None,
            page: Cow::Borrowed(PROBLEMS_PAGE),
        };
        Self { config: Arc::new(config) }
    }

    /// The rules that it follows. Default: [`Profile::ietf`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings().profile = profile;
        self
    }

    /// The methods that it handles. Default: POST and PATCH, which HTTP does not define as
    /// idempotent.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.settings().methods = methods.into_iter().collect();
        self
    }

    /// Requests without a key are refused. This is the default of [`Profile::ietf`].
    pub fn required(self) -> Self {
        self.required_when(|_| true)
    }

    /// Requests without a key pass through. This is the default of [`Profile::stripe`].
    pub fn optional(self) -> Self {
        self.required_when(|_| false)
    }

    /// Requests without a key are refused when this is true of their head, and otherwise pass
    /// through.
    pub fn required_when(
        mut self,
        requires: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings().requires_key = Some(Arc::new(requires));
        self
    }

    /// The header with the key. Default: `Idempotency-Key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.settings().header = name;
        self
    }

    /// The limit for a request's body, and the treatment of larger ones. Default: 1 MiB, refused.
    pub fn request_limit(mut self, bytes: usize, over: OverLimit) -> Self {
        self.settings().request_limit = Limit { bytes, over };
        self
    }

    /// The limit for a response's body, and the treatment of larger ones. Default: 512 KiB,
    /// refused. A response with its headers must also fit into the handle's `max_result_size`.
    pub fn response_limit(mut self, bytes: usize, over: OverLimit) -> Self {
        self.settings().response_limit = Limit { bytes, over };
        self
    }

    /// How long a request's body may take to arrive. Nothing is claimed meanwhile. Default: 30
    /// seconds.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings().body_timeout = timeout;
        self
    }

    /// The headers in the fingerprint: the same key with another value is refused. If the body is
    /// not compared byte for byte, the spelling of its `Content-Type` and the boundary make no
    /// difference. Default: `Content-Type` and `Content-Encoding`. Add `Host` if one principal's
    /// hosts are different services.
    pub fn fingerprint_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings().fingerprinted = names.into_iter().collect();
        self
    }

    /// Compares all bodies byte for byte: a repeated request whose JSON has its members in another
    /// order, or whose form has another boundary, is refused. Default: [by content
    /// type](crate#fingerprints).
    pub fn exact_bodies(mut self) -> Self {
        self.settings().bodies.exact = true;
        self
    }

    /// Decides which part of a request's body is compared, for content types that the layer does
    /// not know and for bodies that change between attempts, such as redelivered webhooks. It is
    /// called before the claim for every request with a key, with the body as sent. Omitted parts
    /// may differ between requests that count as one. Default: [by content
    /// type](crate#fingerprints).
    ///
    /// ```
    /// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
    /// use idempotency::http::{BodyFingerprint, IdempotencyLayer, anonymous};
    ///
    /// let idem = idempotency::Idempotency::memory();
    /// let layer = IdempotencyLayer::new(idem, anonymous()).fingerprint_body(|request, body| {
    ///     match request.uri.path() {
    ///         "/hooks/stripe" => BodyFingerprint::json_without(body, &["pending_webhooks"]),
    ///         _ => BodyFingerprint::by_content_type(),
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    pub fn fingerprint_body(
        mut self,
        of: impl Fn(&Parts, &Bytes) -> BodyFingerprint + Send + Sync + 'static,
    ) -> Self {
        self.settings().bodies.ask(of);
        self
    }

    /// A response header that is stored in addition to the default ones. `Set-Cookie`, `Date`,
    /// credentials and headers about one connection are never stored.
    pub fn replay_header(mut self, name: HeaderName) -> Self {
        self.settings().kept.add(name);
        self
    }

    /// How long a response is replayed, counted from its completion. Default: the handle's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings().ttl = Some(ttl);
        self
    }

    /// How long this process may be silent before others take its requests over. Default: the
    /// handle's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings().lease = Some(lease);
        self
    }

    /// How long a duplicate waits for the response of the request under way before it gets a 409.
    /// Default: 10 seconds, about as long as a person waits. A client whose first attempt was cut
    /// off gets the response as soon as there is one. Zero answers 409 at once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings().wait = wait;
        self
    }

    /// The policy for a key whose handler panics or whose process dies. Default: the next request
    /// is handled again.
    pub fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.settings().on_crash = policy;
        self
    }

    /// Handles requests without idempotency while the storage is down, instead of refusing them
    /// with a 503. Use it only for effects that may happen twice.
    pub fn fail_open(mut self) -> Self {
        self.settings().fail_open = true;
        self
    }

    /// The number of new keys that a principal may use within a period, so that no principal fills
    /// the storage. The next new key is refused with a 429; replays never are. Each process counts
    /// for itself. Default: no limit.
    pub fn quota(mut self, keys: u32, period: Duration) -> Self {
        self.settings().quota = Some(Arc::new(Quota::new(keys, period)));
        self
    }

    /// The page that describes the problems, with a section for every
    /// [code](crate::ProblemKind::code). Default: [`PROBLEMS_PAGE`](crate::PROBLEMS_PAGE).
    pub fn problems_page(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.settings().page = url.into();
        self
    }

    /// The requests under way, to wait for at shut-down.
    pub fn tasks(&self) -> Tasks {
        self.config.tasks.clone()
    }

    fn settings(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> IdempotencyService<S> {
        IdempotencyService::new(Arc::clone(&self.config), inner)
    }
}

impl fmt::Debug for IdempotencyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("idem", &self.config.idem)
            .field("profile", &self.config.profile)
            .field("tasks", &self.config.tasks)
            .finish_non_exhaustive()
    }
}
