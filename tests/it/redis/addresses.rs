//! Addresses, logins, and what is said of them when they are wrong.

use std::fmt::Write as _;
use std::time::Duration;

use idem_runtime::record::OwnerId;
use idem_runtime::storage::{RedisStorage, Storage, StorageErrorKind, StorageWarning};
use testkit::redis::{ClusterSetup, RedisServer};

use super::{claim, connect, fresh_key};

/// The error's kind, and everything that anybody could print of it.
async fn refused(url: &str) -> (StorageErrorKind, String) {
    let error = RedisStorage::connect(url).await.unwrap_err();
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        write!(text, " {error} {error:?}").unwrap();
        source = error.source();
    }
    (error.kind(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_unix_sockets_databases_and_passwords_work() {
    let server = RedisServer::builder().password("p@ss:w/or?d#%").start();
    let database = format!("{}3", server.url());
    let socket = server.unix_url();
    let plain_scheme = socket.replace("redis+unix:", "unix:") + "&db=4";
    for (url, database) in [(server.url(), 0), (database, 3), (socket, 0), (plain_scheme, 4)] {
        let storage = connect(&url).await;
        let key = fresh_key();
        storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        redis::cmd("SELECT").arg(database).exec(&mut connection).unwrap();
        let exists = redis::cmd("EXISTS").arg(super::redis_key(&key)).query(&mut connection);
        assert_eq!(exists, Ok(1), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_asked_for_and_checked() {
    let server = RedisServer::builder().password("secret").start();
    let port = server.port();
    let (kind, text) = refused(&format!("redis://127.0.0.1:{port}/")).await;
    assert_eq!(kind, StorageErrorKind::Configuration, "{text}");
    assert!(text.contains("requires a password"), "{text}");
    for login in [":hunter2", "nobody:hunter2"] {
        let (kind, text) = refused(&format!("redis://{login}@127.0.0.1:{port}/")).await;
        assert_eq!(kind, StorageErrorKind::Configuration, "{text}");
        assert!(text.contains("does not accept the user name or the password"), "{text}");
        assert!(text.contains(&format!("redis://***@127.0.0.1:{port}/")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let builder = RedisStorage::builder(format!("redis://127.0.0.1:{port}/"));
    builder.login(None, "secret").connect().await.unwrap();
    let storage = connect(&server.url()).await;
    assert!(!format!("{storage:?}").contains("secret"));
    assert!(!format!("{:?}", RedisStorage::builder(server.url())).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_named_without_its_password() {
    let mut server = RedisServer::start();
    server.kill();
    let url = format!("redis://:hunter2@127.0.0.1:{}/1", server.port());
    let (kind, text) = refused(&url).await;
    assert_eq!(kind, StorageErrorKind::NotApplied, "{text}");
    assert!(text.contains("cannot connect to redis at redis://***@127.0.0.1:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = RedisServer::start();
    server.pause();
    let builder = RedisStorage::builder(server.url());
    let error = builder.connection_timeout(Duration::from_millis(200)).connect().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    assert!(error.to_string().contains("does not answer in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_addresses_are_refused_without_showing_their_secrets() {
    let addresses = [
        ("", "has no scheme"),
        ("localhost:6379", "has no scheme"),
        ("http://:hunter2@localhost", "scheme is none of"),
        ("redis://:hunter2@", "malformed"),
        ("redis://:hunter2@localhost:port", "malformed"),
        ("redis://:hunter2@localhost/database", "database is not a number"),
        ("redis://:hunt/er2@localhost/1", "is not usable"),
        ("redis://:hunter2?@localhost:x/1", "is not usable"),
        ("redis+unix:///redis.sock?pass=hunter2&db=x@y", "database is not a number"),
        ("redis-sentinel://:hunter2@localhost", "name of the primary is missing"),
        ("redis-sentinel://:hunter2@/primary", "malformed"),
        ("redis-cluster://:hunter2@localhost/1", "a cluster has no databases"),
    ];
    for (url, reason) in addresses {
        let (kind, text) = refused(url).await;
        assert_eq!(kind, StorageErrorKind::Configuration, "{url}: {text}");
        assert!(text.contains(reason), "{url}: {text}");
        assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
    }
    let zero = RedisStorage::builder("redis://localhost").response_timeout(Duration::ZERO);
    let error = zero.connect().await.unwrap_err();
    assert!(error.to_string().contains("greater than zero"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_protocol_of_today_is_too_old() {
    let server = RedisServer::builder().config("rename-command", "HELLO \"\"").start();
    let (kind, text) = refused(&server.url()).await;
    assert_eq!(kind, StorageErrorKind::Configuration, "{text}");
    assert!(text.contains("version 7.0 or later is needed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_is_not_taken_for_a_single_server() {
    let cluster = ClusterSetup::start();
    let storage = connect(&cluster.node(0).url()).await;
    let mut refused = None;
    for _ in 0..50 {
        if let Err(error) = storage.claim(&claim(&fresh_key(), OwnerId::random())).await {
            refused = Some(error);
            break;
        }
    }
    let error = refused.unwrap();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_lose_records_are_reported() {
    let forgetful = RedisServer::builder().config("maxmemory-policy", "allkeys-lru").start();
    let storage = connect(&forgetful.url()).await;
    let warnings = storage.warnings().await.unwrap();
    let settings: Vec<_> = warnings.iter().map(StorageWarning::setting).collect();
    assert_eq!(settings, ["maxmemory-policy", "appendonly"]);
    let texts = [warnings[0].to_string(), warnings[1].to_string()];
    assert!(texts[0].contains("`allkeys-lru`"), "{texts:?}");
    assert!(texts[1].contains("a restart forgets every record"), "{texts:?}");

    let careful = RedisServer::builder().append_only("always").start();
    assert_eq!(connect(&careful.url()).await.warnings().await.unwrap(), []);
    let snapshots = RedisServer::builder().config("save", "3600 1").start();
    assert_eq!(connect(&snapshots.url()).await.warnings().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_let_us_look_is_used_and_reported() {
    let server = RedisServer::start();
    let rules = ["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-config", "-info"];
    server.command(&rules);
    let storage = connect(&format!("redis://app:pass@127.0.0.1:{}/", server.port())).await;
    let unchecked =
        [("version", "version"), ("maxmemory-policy", "eviction"), ("appendonly", "persistence")];
    let unchecked = unchecked.map(|(setting, what)| {
        let text = format!("the server does not reveal its {what}, so it could not be checked");
        StorageWarning::new(setting, text)
    });
    assert_eq!(storage.warnings().await.unwrap(), unchecked);
    storage.claim(&claim(&fresh_key(), OwnerId::random())).await.unwrap();
}

#[tokio::test]
async fn tls_without_a_crypto_provider_is_a_clear_error() {
    for url in ["rediss://u:secret@127.0.0.1:1/", "rediss-cluster://u:secret@127.0.0.1:1"] {
        let (kind, text) = refused(url).await;
        assert_eq!(kind, StorageErrorKind::Configuration);
        assert!(text.contains("install one at start-up"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn connecting_without_a_runtime_or_its_timers_is_a_clear_error() {
    let connect = || RedisStorage::connect("redis://127.0.0.1:1/");
    let timeless = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let without_timers = timeless.block_on(connect()).unwrap_err();
    let waker = std::task::Waker::noop();
    let poll = std::pin::pin!(connect()).poll(&mut std::task::Context::from_waker(waker));
    let std::task::Poll::Ready(Err(without_runtime)) = poll else { panic!("{poll:?}") };
    for (error, reason) in [(without_timers, "enable_time"), (without_runtime, "no tokio runtime")]
    {
        assert_eq!(error.kind(), StorageErrorKind::Configuration);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
