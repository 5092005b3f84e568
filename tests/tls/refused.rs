//! Certificates that are not accepted, and addresses that are not meant for them.

use std::fmt::Write as _;

use idem_runtime::storage::redis::RedisBuilder;
use idem_runtime::storage::{RedisStorage, StorageErrorKind};
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};
use testkit::tls::Authority;

use super::install_provider;

/// What a connection is refused with: the kind, and everything that anybody could print of it.
async fn refused(builder: RedisBuilder) -> (StorageErrorKind, String) {
    install_provider();
    let error = builder.connect().await.unwrap_err();
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        write!(text, " {error} {error:?}").unwrap();
        source = error.source();
    }
    (error.kind(), text)
}

async fn assert_misconfigured(builder: RedisBuilder, reason: &str) {
    let (kind, text) = refused(builder).await;
    assert_eq!(kind, StorageErrorKind::Configuration, "{text}");
    assert!(text.contains(reason), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

const NOT_ACCEPTED: &str = "shows a certificate that is not accepted";

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_an_unknown_authority_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = RedisServer::builder().tls(&authority).password("secret").start();
    // The system does not know the authority either.
    let by_system = RedisStorage::builder(server.tls_url());
    assert_misconfigured(by_system, NOT_ACCEPTED).await;
    let by_other = RedisStorage::builder(server.tls_url()).tls_ca(other.certificate());
    assert_misconfigured(by_other, NOT_ACCEPTED).await;
    let both = format!("{}{}", other.certificate(), authority.certificate());
    RedisStorage::builder(server.tls_url()).tls_ca(both).connect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_certificate_of_another_host_is_refused() {
    let authority = Authority::new();
    let server = RedisServer::builder().tls(&authority).start();
    let url = server.tls_url().replace("127.0.0.1", "localhost");
    let builder = RedisStorage::builder(url).tls_ca(authority.certificate());
    assert_misconfigured(builder, NOT_ACCEPTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_certificate_refuses_none_and_another_authoritys() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = RedisServer::builder().tls(&authority).config("tls-auth-clients", "yes").start();
    let builder = || RedisStorage::builder(server.tls_url()).tls_ca(authority.certificate());
    let not_accepted = "refuses the TLS handshake";
    assert_misconfigured(builder(), not_accepted).await;
    let stranger = other.issue();
    let stranger = builder().tls_identity(stranger.certificate, stranger.key);
    assert_misconfigured(stranger, not_accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_an_unknown_authority_is_refused() {
    let cluster = ClusterSetup::start_with(RedisServer::builder().tls(&Authority::new()), 3, 0);
    let builder = RedisStorage::cluster(cluster.tls_urls()).tls_ca(Authority::new().certificate());
    assert_misconfigured(builder, NOT_ACCEPTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_of_an_unknown_authority_are_refused() {
    let setup = SentinelSetup::start_with_tls(&Authority::new());
    let urls = (0..3).map(|number| setup.sentinel(number).tls_url());
    let builder = RedisStorage::sentinel(urls, setup.master_name());
    let builder = builder.tls_ca(Authority::new().certificate());
    assert_misconfigured(builder, NOT_ACCEPTED).await;
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_refused_before_anything_is_connected() {
    let identity = Authority::new().issue();
    let builder = || RedisStorage::builder("rediss://u:secret@127.0.0.1:1/");
    let half = identity.certificate.lines().take(3).collect::<String>();
    for pem in ["", "secret", half.as_str(), identity.key.as_str()] {
        assert_misconfigured(builder().tls_ca(pem), "authorities cannot be read").await;
        let unreadable = builder().tls_identity(pem, identity.key.as_str());
        assert_misconfigured(unreadable, "certificate cannot be read").await;
    }
    for key in ["", "secret", identity.certificate.as_str()] {
        let unreadable = builder().tls_identity(identity.certificate.as_str(), key);
        assert_misconfigured(unreadable, "private key").await;
    }
    // Nobody may think that a connection is protected which is not.
    let plain = RedisStorage::builder("redis://u:secret@127.0.0.1:1/");
    assert_misconfigured(plain.tls_ca(identity.certificate), "is without TLS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_the_other_way_is_an_error_and_not_a_hang() {
    let authority = Authority::new();
    let server = RedisServer::builder().tls(&authority).start();
    let tls_to_plain = server.url().replace("redis:", "rediss:");
    let plain_to_tls = server.tls_url().replace("rediss:", "redis:");
    for url in [tls_to_plain, plain_to_tls] {
        let (kind, text) = refused(RedisStorage::builder(&url)).await;
        assert_eq!(kind, StorageErrorKind::NotApplied, "{text}");
        assert!(text.contains("cannot connect to redis") && text.contains("TLS"), "{text}");
    }
}
