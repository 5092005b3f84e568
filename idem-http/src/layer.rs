//! The layer: how it is set, and the service that it makes.

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

/// Makes a service honour the header `Idempotency-Key`. What it does with a request is the numbered list of the [module](crate).
///
/// Put it inside of authentication, so that a replay is authorised like the first request, and inside of compression, so that what is stored
/// is not compressed for one client. With axum it is best a [`Router::route_layer`](axum::Router::route_layer): as a layer of the whole router it also
/// asks for a key where there is no route, so that a 404 becomes a 400.
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
    /// Shared, since axum makes its services anew for every request.
    config: Arc<Config>,
}

/// How long a duplicate waits unless somebody says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

impl IdempotencyLayer {
    /// A layer on this handle's storage. `principal` says whose a key is: [`extension`](crate::extension), a closure, or explicitly
    /// [`anonymous`](crate::anonymous).
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

    /// Whose rules it follows. Default: [`Profile::ietf`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings().profile = profile;
        self
    }

    /// The methods that it concerns. Default: POST and PATCH, which HTTP does not define as idempotent.
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

    /// Requests without a key are refused when this is true of their head, and otherwise pass through.
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

    /// How many bytes of a request's body are read, and what is done with more. Default: 1 MiB, refused.
    pub fn request_limit(mut self, bytes: usize, over: OverLimit) -> Self {
        self.settings().request_limit = Limit { bytes, over };
        self
    }

    /// How many bytes of a response's body are read, and what is done with more. Default: 512 KiB, refused. A response must fit into the handle's
    /// `max_result_size` as well, with its headers.
    pub fn response_limit(mut self, bytes: usize, over: OverLimit) -> Self {
        self.settings().response_limit = Limit { bytes, over };
        self
    }

    /// How long a request's body may take to arrive. Nothing is claimed meanwhile. Default: 30 seconds.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings().body_timeout = timeout;
        self
    }

    /// The headers that are part of what a request asks for: the same key with another value is refused. Of a body that is not compared byte for byte,
    /// the spelling of its `Content-Type` and a boundary in it make no difference. Default: `Content-Type` and
    /// `Content-Encoding`. Add `Host` where one principal's hosts are different services.
    pub fn fingerprint_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings().fingerprinted = names.into_iter().collect();
        self
    }

    /// Compares bodies byte for byte, whatever they are: a repeated request whose JSON has its members in another order, or whose form has
    /// another boundary, is refused. Default: [by content type](crate#fingerprints).
    pub fn exact_bodies(mut self) -> Self {
        self.settings().bodies.exact = true;
        self
    }

    /// Says what of a request's body is compared, for content types that the layer knows nothing of and for bodies that change on the way,
    /// such as a webhook that is delivered again. It is asked of every request with a key, with the body as it was sent, and before anything
    /// is claimed; what it leaves out may differ between requests that count as one. Default: [by content type](crate#fingerprints).
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

    /// A response header that is stored besides the usual ones. What is never stored is not stored for this either: `Set-Cookie`, `Date`,
    /// credentials and what is about one connection.
    pub fn replay_header(mut self, name: HeaderName) -> Self {
        self.settings().kept.add(name);
        self
    }

    /// How long a response is replayed, counted from its end. Default: the handle's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings().ttl = Some(ttl);
        self
    }

    /// How long this process may be silent before others take its requests over. Default: the handle's.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings().lease = Some(lease);
        self
    }

    /// How long a duplicate waits for the response of the request that is being handled before it gets a 409. Default: 10 seconds, about as
    /// long as a person would. So a client whose first attempt was cut off gets its result as soon as there is one. Zero is the 409 at once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings().wait = wait;
        self
    }

    /// What becomes of the key when the handler panics or this process dies. Default: the next request is handled again.
    pub fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.settings().on_crash = policy;
        self
    }

    /// Handles requests without idempotency while the storage is down, instead of refusing them with a 503. Only for effects that may happen
    /// twice.
    pub fn fail_open(mut self) -> Self {
        self.settings().fail_open = true;
        self
    }

    /// How many new keys a principal may use within a period, so that nobody fills the storage: the next one is refused with a 429, and replays
    /// never are. It is counted in this process alone. Default: as many as it likes.
    pub fn quota(mut self, keys: u32, period: Duration) -> Self {
        self.settings().quota = Some(Arc::new(Quota::new(keys, period)));
        self
    }

    /// The page that describes the problems, with a section for every [code](ProblemKind::code). Default:
    /// [`PROBLEMS_PAGE`](crate::PROBLEMS_PAGE).
    pub fn problems_page(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.settings().page = url.into();
        self
    }

    /// The requests that are being handled, to wait for them at shut-down.
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
