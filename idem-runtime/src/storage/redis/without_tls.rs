//! TLS is not compiled in: the client refuses such an address when it is parsed.

#[cfg(feature = "redis-cluster")]
use redis::cluster::ClusterClientBuilder;
#[cfg(feature = "redis-sentinel")]
use redis::sentinel::SentinelClient;
use redis::{Client, ConnectionInfo, RedisResult};

use super::address::RedisAddress;
use crate::storage::StorageError;

#[derive(Clone, Default)]
pub(super) struct Certificates {}

impl Certificates {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with the feature on")]
    pub(super) fn check(&self, _address: &RedisAddress, _server: &str) -> Result<(), StorageError> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "as with the feature on")]
    pub(super) fn client(&self, server: ConnectionInfo) -> RedisResult<Client> {
        Client::open(server)
    }

    #[cfg(feature = "redis-cluster")]
    #[expect(clippy::unused_self, reason = "as with the feature on")]
    pub(super) fn cluster(&self, nodes: ClusterClientBuilder) -> ClusterClientBuilder {
        nodes
    }

    #[cfg(feature = "redis-sentinel")]
    #[expect(clippy::unused_self, reason = "as with the feature on")]
    pub(super) fn sentinels(
        &self,
        _sentinels: &[ConnectionInfo],
        _primary: &str,
        _server: &ConnectionInfo,
    ) -> Option<RedisResult<SentinelClient>> {
        None
    }
}
