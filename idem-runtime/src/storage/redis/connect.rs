//! Making a [`RedisStorage`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, redacted};
use super::batch::Sender;
use super::check::check;
use super::transport::{Single, Timeouts, Transport};
use super::watch::Wakeups;
use super::{Inner, RedisStorage, cluster, sentinel};
use crate::storage::{StorageError, StorageErrorKind};

/// How a [`RedisStorage`] connects. From [`RedisStorage::builder`], [`RedisStorage::sentinel`] or [`RedisStorage::cluster`].
#[must_use = "a builder does nothing until `connect` is called"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    timeouts: Timeouts,
}

impl RedisBuilder {
    pub(super) fn new(url: String) -> Self {
        let limit = Duration::from_secs(2);
        Self {
            url,
            prefix: "idem:".to_owned(),
            timeouts: Timeouts { connect: limit, response: limit },
        }
    }

    /// What the names of all keys begin with; `idem:` unless set. Storages with different prefixes do not see each other's records.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long making a connection may take; 2 seconds unless set.
    pub fn connection_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.connect = limit;
        self
    }

    /// How long a reply may take until the request counts as lost; 2 seconds unless set.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.response = limit;
        self
    }

    /// Connects, and checks the server: see [`RedisStorage::warnings`].
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the password, the server's version, the features
    /// of this crate. [`StorageErrorKind::NotApplied`] when the server cannot be reached now. The text names the URL without its password.
    pub async fn connect(self) -> Result<RedisStorage, StorageError> {
        if self.timeouts.connect.is_zero() || self.timeouts.response.is_zero() {
            return Err(StorageError::new(
                StorageErrorKind::Configuration,
                "a timeout of zero lets nothing succeed",
            ));
        }
        let transport = self.transport()?;
        let server = redacted(&self.url);
        let warnings = check(&*transport, &server).await?;
        let prefix: Arc<str> = self.prefix.into();
        let wakeups = Wakeups::new(&*transport, Arc::clone(&prefix));
        let sender = Sender::new(transport);
        Ok(RedisStorage(Arc::new(Inner { sender, wakeups, prefix, server, warnings })))
    }

    fn transport(&self) -> Result<Box<dyn Transport>, StorageError> {
        match Address::parse(&self.url)? {
            Address::Single(server) => {
                let client = redis::Client::open(server).map_err(|error| {
                    super::error::Fault::Unsent(error).explain(&redacted(&self.url))
                })?;
                Ok(Box::new(Single::new(client, self.timeouts)))
            }
            Address::Sentinel { sentinels, primary, server } => {
                sentinel::transport(sentinels, primary, &server, self.timeouts)
            }
            Address::Cluster(nodes) => cluster::transport(nodes, self.timeouts),
        }
    }
}

/// The error for an address that needs a feature which was not compiled in.
#[cfg(not(all(feature = "redis-sentinel", feature = "redis-cluster")))]
pub(super) fn needs_feature(feature: &str) -> StorageError {
    StorageError::new(
        StorageErrorKind::Configuration,
        format!("this address needs the feature `{feature}`"),
    )
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("url", &redacted(&self.url))
            .field("prefix", &self.prefix)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}
