//! Servers, sentinels and clusters whose certificates are in order.

use std::process::Command;
use std::time::{Duration, Instant};

use idem_runtime::storage::{RedisStorage, Storage, Written};
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};
use testkit::tls::Authority;

use super::{assert_works, claim, complete, connect, install_provider};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_used_over_tls_and_again_after_its_restart() {
    let authority = Authority::new();
    let mut server = RedisServer::builder().tls(&authority).password("p@ss").start();
    let storage = connect(RedisStorage::builder(server.tls_url()), &authority).await;
    assert_works(&storage, "before").await;
    let connections = server.command(&["CLIENT", "LIST"]);
    let port =
        format!("laddr={}", server.tls_url().rsplit('@').next().unwrap().trim_end_matches('/'));
    assert!(connections.contains(&port), "{connections}");
    server.restart();
    let start = Instant::now();
    while let Err(error) = storage.load(&claim("before").key).await {
        assert!(error.is_transient() && start.elapsed() < SOON, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_works(&storage, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_certificate_accepts_one_of_its_authority() {
    let authority = Authority::new();
    let server = RedisServer::builder().tls(&authority).config("tls-auth-clients", "yes").start();
    let identity = authority.issue();
    let builder = RedisStorage::builder(server.tls_url());
    let builder = builder.tls_identity(identity.certificate, identity.key.clone());
    let shown = format!("{builder:?}");
    assert!(!identity.key.lines().any(|line| shown.contains(line)), "{shown}");
    assert_works(&connect(builder, &authority).await, "k").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_behind_sentinels_is_used_over_tls_and_so_is_the_next_one() {
    let authority = Authority::new();
    let setup = SentinelSetup::start_with_tls(&authority);
    let urls = (0..3).map(|number| setup.sentinel(number).tls_url());
    let builder = RedisStorage::sentinel(urls, setup.master_name());
    let storage = connect(builder, &authority).await;
    assert_works(&storage, "before").await;
    let running = claim("meanwhile");
    storage.claim(&running).await.unwrap();
    setup.primary().wait_until_replicated();
    setup.fail_over();
    let start = Instant::now();
    let written = loop {
        match storage.complete(&complete(&running)).await {
            Ok(written) => break written,
            Err(error) => assert!(error.is_transient() && start.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(written, Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_of_a_cluster_are_used_over_tls() {
    let authority = Authority::new();
    let cluster = ClusterSetup::start_with(RedisServer::builder().tls(&authority), 3, 0);
    let storage = connect(RedisStorage::cluster(cluster.tls_urls()), &authority).await;
    let mut owners = [0; 3];
    for key in 0..30 {
        let key = format!("k{key}");
        assert_works(&storage, &key).await;
        let slot = cluster.slot_of(&format!("idem:{{}}{}", claim(&key).key.as_str()));
        owners[cluster.owner_of(slot)] += 1;
    }
    assert!(!owners.contains(&0), "{owners:?}");
}

/// Where there is no code to give it to, as with a URL from a configuration file, the authority comes from the system or from the
/// environment. The test runs itself again in a process with such an environment.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_can_name_the_authorities() {
    const URL: &str = "IDEM_TLS_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        install_provider();
        assert_works(&RedisStorage::connect(url).await.unwrap(), "k").await;
        return;
    }
    let authority = Authority::new();
    let server = RedisServer::builder().tls(&authority).start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    std::fs::write(&file, authority.certificate()).unwrap();
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "setups::the_environment_can_name_the_authorities"])
        .env("SSL_CERT_FILE", file)
        .env(URL, server.tls_url())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && printed.contains("1 passed"), "{printed}");
}
