//! A primary behind sentinels, asked for anew at every connection.

use futures_util::future::{BoxFuture, FutureExt};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsMode};

use super::transport::{Locate, Single, Timeouts, Transport};
use crate::storage::StorageError;

/// Asks sentinels for the server that takes writes.
struct Sentinels {
    nodes: Vec<ConnectionInfo>,
    primary: String,
    server: SentinelNodeConnectionInfo,
}

impl Locate for Sentinels {
    fn locate(&self) -> BoxFuture<'_, RedisResult<Client>> {
        // A new client each time: one that is kept keeps connections, which belong to the runtime that they were made on.
        async move {
            let mut client = SentinelClient::build(
                self.nodes.clone(),
                self.primary.clone(),
                Some(self.server.clone()),
                SentinelServerType::Master,
            )?;
            client.async_get_client().await
        }
        .boxed()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
pub(super) fn transport(
    nodes: Vec<ConnectionInfo>,
    primary: String,
    server: &ConnectionInfo,
    timeouts: Timeouts,
) -> Result<Box<dyn Transport>, StorageError> {
    let login = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(server.redis_settings().clone());
    let server = match server.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => login.set_tls_mode(TlsMode::Insecure),
        ConnectionAddr::TcpTls { .. } => login.set_tls_mode(TlsMode::Secure),
        _ => login,
    };
    Ok(Box::new(Single::new(Sentinels { nodes, primary, server }, timeouts)))
}
