//! Making a [`RedisStorage`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::address::{RedisAddress, redacted};
use super::check::{NO_WAKEUPS, check};
use super::error::CommandError;
use super::names::KeyNames;
use super::senders::Senders;
use super::storage::{RedisCore, RedisStorage};
use super::tls::Certificates;
use super::transport::{Single, Timeouts, Transport, without_delay};
use super::watch::RedisWakeups;
use super::{cluster, sentinel};
use crate::storage::{StorageError, StorageErrorKind};

/// How a [`RedisStorage`] connects. From [`RedisStorage::builder`], [`RedisStorage::sentinel`] or
/// [`RedisStorage::cluster`].
#[must_use = "a builder does nothing until `connect` is called"]
pub struct RedisBuilder {
    address: Result<RedisAddress, StorageError>,
    /// The address without its password, for errors.
    server: String,
    prefix: String,
    timeouts: Timeouts,
    pub(super) certificates: Certificates,
}

impl RedisBuilder {
    fn new(server: String, address: Result<RedisAddress, StorageError>) -> Self {
        let limit = Duration::from_secs(2);
        let timeouts = Timeouts { connect: limit, response: limit };
        let certificates = Certificates::default();
        Self { address, server, prefix: "idem:".to_owned(), timeouts, certificates }
    }

    /// User name and password of the servers, instead of those in the address. Without a name it is
    /// the default user's password.
    pub fn login(mut self, username: Option<&str>, password: &str) -> Self {
        self.address = self.address.map(|address| address.with_login(username, password));
        self
    }

    /// What the names of all keys begin with; `idem:` unless set. Storages with different prefixes
    /// do not see each other's records, also where one prefix begins with the other. It has no
    /// braces: see [how keys are named](super#how-keys-are-named).
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long making a connection may take; 2 seconds unless set.
    pub fn connection_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.connect = limit;
        self
    }

    /// How long a reply may take until the request counts as lost; 2 seconds unless set. Shorter
    /// than the handle's [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout), so that a
    /// request whose reply is lost is repeated within it.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.response = limit;
        self
    }

    /// Connects, and checks the server: what [`warnings`](crate::storage::Storage::warnings)
    /// reports is logged.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the
    /// password, the rights of the user, the certificates, the prefix, the server's version, the
    /// features of this crate, a runtime without timers. [`StorageErrorKind::NotApplied`] when the
    /// server cannot be reached now. The text names the URL without its password.
    pub async fn connect(self) -> Result<RedisStorage, StorageError> {
        let no_runtime = |text| StorageError::new(StorageErrorKind::Configuration, text);
        crate::runtime::check().map_err(no_runtime)?;
        if self.timeouts.connect.is_zero() || self.timeouts.response.is_zero() {
            return Err(StorageError::new(
                StorageErrorKind::Configuration,
                "a timeout must be greater than zero",
            ));
        }
        let names = KeyNames::new(&self.prefix)?;
        let server = self.server;
        let address = self.address?;
        self.certificates.check(&address, &server)?;
        let prefix: Arc<str> = self.prefix.into();
        let behind = |tried| {
            transport(address.clone(), self.certificates.clone(), self.timeouts, &server, tried)
        };
        // A server that is too old is reported by its version, not by the commands that it lacks.
        let warnings = check(&*behind(None)?, &server, &prefix).await?;
        for warning in &warnings {
            tracing::warn!(server, "{warning}");
        }
        let transport = behind(Some(Arc::clone(&prefix)))?;
        let can_wake = warnings.iter().all(|warning| warning.setting() != NO_WAKEUPS);
        let wakeups = RedisWakeups::new(&*transport, names.clone(), can_wake);
        let senders =
            Senders::connect(transport).await.map_err(|fault| fault.into_storage_error(&server))?;
        Ok(RedisStorage(Arc::new(RedisCore { senders, wakeups, names, server })))
    }
}

/// What reaches the servers at an address. Nothing is connected yet. Connections for records, whose
/// keys begin with `tried`, are tried: see [`rights`](super::rights).
pub(super) fn transport(
    address: RedisAddress,
    certificates: Certificates,
    timeouts: Timeouts,
    server: &str,
    tried: Option<Arc<str>>,
) -> Result<Box<dyn Transport>, StorageError> {
    match address {
        RedisAddress::Single(info) => {
            let client = certificates.client(info.set_tcp_settings(without_delay()));
            let client =
                client.map_err(|error| CommandError::Unsent(error).into_storage_error(server))?;
            Ok(Box::new(Single::new(client, timeouts, tried)))
        }
        RedisAddress::Sentinel { sentinels, primary, server } => {
            sentinel::transport(sentinels, primary, server, certificates, timeouts, tried)
        }
        RedisAddress::Cluster(nodes) => cluster::transport(nodes, certificates, timeouts),
    }
}

impl RedisStorage {
    /// Connects to the server, the sentinels or the cluster that `url` names, with default options.
    ///
    /// See the [module](super) for the URLs, and [`RedisBuilder::connect`] for the errors.
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder(url).connect().await
    }

    /// Options of a storage at `url`.
    pub fn builder(url: impl AsRef<str>) -> RedisBuilder {
        let url = url.as_ref();
        RedisBuilder::new(redacted(url), RedisAddress::parse(url))
    }

    /// Options of a storage on the primary that sentinels know as `primary`. The URLs are
    /// `redis://[user:password@]host[:port]`, with the login of the sentinel; that of the servers
    /// goes to [`RedisBuilder::login`].
    pub fn sentinel<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        primary: impl Into<String>,
    ) -> RedisBuilder {
        let (urls, server) = collect(urls);
        RedisBuilder::new(server, RedisAddress::sentinels(&urls, primary.into()))
    }

    /// Options of a storage on the cluster that these nodes belong to. The URLs are
    /// `redis://[user:password@]host[:port]`.
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> RedisBuilder {
        let (urls, server) = collect(urls);
        RedisBuilder::new(server, RedisAddress::nodes(&urls))
    }
}

/// The URLs, and all of them without their passwords.
fn collect<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> (Vec<String>, String) {
    let urls: Vec<String> = urls.into_iter().map(|url| url.as_ref().to_owned()).collect();
    let shown = urls.iter().map(|url| redacted(url)).collect::<Vec<_>>().join(",");
    (urls, shown)
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("server", &self.server)
            .field("prefix", &self.prefix)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
