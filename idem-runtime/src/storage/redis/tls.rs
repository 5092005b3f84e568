//! TLS with rustls. Which cryptography it runs on is the application's choice, so the application
//! installs it.

#[cfg(feature = "redis-sentinel")]
use redis::TlsMode;
#[cfg(feature = "redis-cluster")]
use redis::cluster::ClusterClientBuilder;
#[cfg(feature = "redis-sentinel")]
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ClientTlsConfig, ConnectionInfo, RedisResult, TlsCertificates};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::address::RedisAddress;
#[cfg(feature = "redis-sentinel")]
use super::transport::without_delay;
use crate::storage::{StorageError, StorageErrorKind};

/// Custom certificates; without any, servers are checked against the system's.
#[derive(Clone)]
pub(super) struct Certificates(TlsCertificates);

impl Default for Certificates {
    fn default() -> Self {
        Self(TlsCertificates { client_tls: None, root_cert: None })
    }
}

impl Certificates {
    pub(super) fn trust(&mut self, authorities: Vec<u8>) {
        self.0.root_cert = Some(authorities);
    }

    pub(super) fn identify(&mut self, client_cert: Vec<u8>, client_key: Vec<u8>) {
        self.0.client_tls = Some(ClientTlsConfig { client_cert, client_key });
    }

    /// What would otherwise show in each connection, or not at all.
    pub(super) fn check(&self, address: &RedisAddress, server: &str) -> Result<(), StorageError> {
        let given = self.given();
        if !address.is_tls() {
            let reason = format!("certificates are of no use at {server}, which is without TLS");
            return if given.is_some() { Err(configuration(reason)) } else { Ok(()) };
        }
        // Without an installed provider the client would panic while it connects.
        if CryptoProvider::get_default().is_none() {
            return Err(configuration(format!(
                "{server} needs TLS and rustls has no crypto provider: install one at start-up, such as \
                 `rustls::crypto::ring::default_provider().install_default()`"
            )));
        }
        let Some(certificates) = given else { return Ok(()) };
        let TlsCertificates { client_tls, root_cert } = certificates;
        let unreadable = |what: &str| configuration(format!("{what} cannot be read as PEM"));
        if root_cert.as_ref().is_some_and(|pem| !holds_certificates(pem)) {
            return Err(unreadable("the certificates of the authorities"));
        }
        if client_tls.as_ref().is_some_and(|identity| !holds_certificates(&identity.client_cert)) {
            return Err(unreadable("this client's certificate"));
        }
        // The client reads all of it, whatever the address.
        Client::build_with_tls("rediss://localhost", certificates.clone())
            .map(drop)
            .map_err(|_| unreadable("this client's private key, or a certificate,"))
    }

    pub(super) fn client(&self, server: ConnectionInfo) -> RedisResult<Client> {
        match self.given() {
            Some(certificates) => Client::build_with_tls(server, certificates.clone()),
            None => Client::open(server),
        }
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn cluster(&self, nodes: ClusterClientBuilder) -> ClusterClientBuilder {
        match self.given() {
            Some(certificates) => nodes.certs(certificates.clone()),
            None => nodes,
        }
    }

    /// `None` where nothing of this is needed. The client has only one login for all sentinels
    /// then: the first one's.
    #[cfg(feature = "redis-sentinel")]
    pub(super) fn sentinels(
        &self,
        sentinels: &[ConnectionInfo],
        primary: &str,
        server: &ConnectionInfo,
    ) -> Option<RedisResult<SentinelClient>> {
        let certificates = self.given()?;
        let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let client = SentinelClientBuilder::new(addresses, primary, SentinelServerType::Master);
        Some(client.and_then(|mut client| {
            client = client
                .set_client_to_sentinel_certificates(certificates.clone())
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_tcp_settings(without_delay());
            if let Some(sentinel) = sentinels.first().map(ConnectionInfo::redis_settings) {
                client = client.set_client_to_sentinel_protocol(sentinel.protocol());
                if let Some(name) = sentinel.username() {
                    client = client.set_client_to_sentinel_username(name);
                }
                if let Some(password) = sentinel.password() {
                    client = client.set_client_to_sentinel_password(password);
                }
            }
            let server = server.redis_settings();
            client = client
                .set_client_to_redis_db(server.db())
                .set_client_to_redis_protocol(server.protocol());
            if let Some(name) = server.username() {
                client = client.set_client_to_redis_username(name);
            }
            if let Some(password) = server.password() {
                client = client.set_client_to_redis_password(password);
            }
            client.build()
        }))
    }

    /// `None` when the system's are to be used.
    fn given(&self) -> Option<&TlsCertificates> {
        let Self(certificates) = self;
        let any = certificates.root_cert.is_some() || certificates.client_tls.is_some();
        any.then_some(certificates)
    }
}

fn holds_certificates(pem: &[u8]) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

fn configuration(text: String) -> StorageError {
    StorageError::new(StorageErrorKind::Configuration, text)
}
