//! A primary behind sentinels, asked for anew at every connection.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsMode};

use super::tls::Certificates;
use super::transport::{PrimaryResolver, Single, Timeouts, Transport, without_delay};
use crate::storage::StorageError;

/// Asks sentinels for the server that takes writes.
struct Sentinels {
    nodes: Vec<ConnectionInfo>,
    primary: String,
    /// How to log in to the primary.
    server: ConnectionInfo,
    certificates: Certificates,
}

impl PrimaryResolver for Sentinels {
    fn resolve(&self) -> BoxFuture<'_, RedisResult<Client>> {
        // A new client each time: one that is kept keeps connections, which belong to the runtime
        // that they were made on.
        async move { self.client()?.async_get_client().await }.boxed()
    }
}

impl Sentinels {
    fn client(&self) -> RedisResult<SentinelClient> {
        let certified = self.certificates.sentinels(&self.nodes, &self.primary, &self.server);
        if let Some(client) = certified {
            return client;
        }
        let login = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(self.server.redis_settings().clone())
            .set_tcp_settings(without_delay());
        let server = match self.server.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => login.set_tls_mode(TlsMode::Insecure),
            ConnectionAddr::TcpTls { .. } => login.set_tls_mode(TlsMode::Secure),
            _ => login,
        };
        let nodes = self.nodes.clone();
        SentinelClient::build(nodes, self.primary.clone(), Some(server), SentinelServerType::Master)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
pub(super) fn transport(
    nodes: Vec<ConnectionInfo>,
    primary: String,
    server: ConnectionInfo,
    certificates: Certificates,
    timeouts: Timeouts,
    tried: Option<Arc<str>>,
) -> Result<Box<dyn Transport>, StorageError> {
    let sentinels = Sentinels { nodes, primary, server, certificates };
    Ok(Box::new(Single::new(sentinels, timeouts, tried)))
}
