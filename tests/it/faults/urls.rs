//! Addresses that are wrong, or lead nowhere.

use std::error::Error as _;
use std::time::Duration;

use idem_runtime::storage::redis::RedisBuilder;
use idem_runtime::storage::{RedisStorage, Storage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use testkit::redis::{ClusterSetup, RedisServer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::stage::{Stage, in_time};

const PASSWORD: &str = "hunter2-%2F-secret";

/// Everything that can be read in an error and in what caused it.
fn whole(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.extend([error.to_string(), format!("{error:?}")]);
        source = error.source();
    }
    text
}

async fn refused(url: &str) -> Error {
    let error = in_time(Idempotency::connect(url)).await.unwrap_err();
    for secret in ["hunter2", PASSWORD, "hunter2-/-secret"] {
        assert!(!whole(&error).contains(secret), "{error}");
    }
    error
}

#[tokio::test]
async fn malformed_urls_are_configuration_errors_without_their_password() {
    for url in [
        "",
        ":",
        "redis",
        "http://example.com/",
        "amqp://user:hunter2@localhost/",
        "postgresql://user:hunter2@[::1/",
        "postgres://user:hunter2@localhost:port/",
        "sqlite://?mode=nonsense",
        "redis://user:hunter2@/",
        "redis://user:hunter2@[::1/",
        "redis://user:hunter2@localhost:port/",
        "redis://user:hunter2@localhost:99999/",
        "redis://user:hunter2@localhost/not-a-number",
        "unix://",
        "redis-sentinel://user:hunter2@localhost/",
        "redis-cluster://user:hunter2@",
        "redis\0://user:hunter2@localhost/",
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}: {error}");
    }
}

#[tokio::test]
async fn what_names_no_storage_is_told_what_does() {
    for (url, told) in [
        ("amqp://user:hunter2@localhost/", "unknown storage URL `amqp:…`"),
        ("git+ssh://user:hunter2@localhost/", "unknown storage URL `git+ssh:…`"),
        ("user", "not a storage URL"),
        ("hunter2-/-secret@localhost:6379", "not a storage URL"),
    ] {
        let error = refused(url).await.to_string();
        assert!(error.contains(told) && error.contains("`postgres:`"), "{url}: {error}");
    }
}

#[tokio::test]
async fn unreachable_servers_are_named_without_their_password() {
    // The port is free: nobody listens on a server's port after it is gone.
    let gone = RedisServer::start();
    let port = gone.port();
    drop(gone);
    let error = refused(&format!("redis://user:{PASSWORD}@127.0.0.1:{port}/")).await;
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.is_retryable());

    for scheme in ["valkey", "postgres", "postgresql", "mysql", "mariadb"] {
        let error = refused(&format!("{scheme}://user:{PASSWORD}@127.0.0.1:{port}/1")).await;
        assert_eq!(error.kind(), ErrorKind::Storage, "{scheme}: {error}");
    }

    let error = refused(&format!("redis://user:{PASSWORD}@name.invalid/")).await;
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("name.invalid"), "{error}");

    let error = refused("unix:///nowhere/redis.sock").await;
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("/nowhere/redis.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_need_a_password_say_so() {
    let redis = RedisServer::builder().password("hunter2-/-secret").start();
    let port = redis.port();
    for login in ["", "default:hunter2-wrong@", "nobody:hunter2-wrong@", ":hunter2-wrong@"] {
        let error = refused(&format!("redis://{login}127.0.0.1:{port}/")).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{login} {error}");
        assert!(error.to_string().contains("password"), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
    for url in [redis.url(), redis.unix_url()] {
        let stage = Stage::at(&url);
        assert_eq!(stage.process().await.charge("k").run(stage.body("k", "1")).await.unwrap(), "1");
        let storage = RedisStorage::connect(&url).await.unwrap();
        let idem = Idempotency::new(storage.clone()).unwrap();
        let shown = format!("{storage:?} {idem:?} {:?}", Idempotency::builder(storage.clone()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn something_that_is_no_redis_is_an_error_and_not_a_hang() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let http = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    refused(&format!("redis://user:{PASSWORD}@127.0.0.1:{port}/")).await;
    http.abort();

    // It accepts connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let limit = Duration::from_millis(200);
    let connect = RedisStorage::builder(format!("redis://127.0.0.1:{port}/"))
        .connection_timeout(limit)
        .response_timeout(limit)
        .connect();
    in_time(connect).await.unwrap_err();
}

/// Answers like a server of version 6, which speaks today's protocol and lacks commands: none is to be had any more.
async fn answer_like_version_6(listener: tokio::net::TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match line.as_str() {
                    "HELLO" => b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
                    "CLIENT" => b"+OK\r\n",
                    "INFO" => b"$22\r\nredis_version:6.2.14\r\n\r\n",
                    _ => continue,
                };
                lines.get_mut().write_all(answer).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named_with_its_version() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(answer_like_version_6(listener));
    let error = refused(&format!("redis://127.0.0.1:{port}/")).await;
    server.abort();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let expected =
        format!("redis at redis://127.0.0.1:{port}/ has version 6.2.14, and 7.0 or later");
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_of_nothing_are_refused_and_endless_ones_work() {
    let cluster = ClusterSetup::start();
    let endless = |builder: RedisBuilder| {
        builder.connection_timeout(Duration::MAX).response_timeout(Duration::MAX)
    };
    let single = || RedisStorage::builder(testkit::redis::shared().url());
    for builder in [single(), RedisStorage::cluster(cluster.urls())] {
        let idem = Idempotency::new(endless(builder).connect().await.unwrap()).unwrap();
        let call = async { Ok::<_, Error>(1) };
        assert_eq!(in_time(idem.operation("charge").key("endless").run(call)).await.unwrap(), 1);
    }
    for builder in
        [single().connection_timeout(Duration::ZERO), single().response_timeout(Duration::ZERO)]
    {
        let error = Error::from(builder.connect().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test]
async fn urls_that_need_no_server_give_a_working_handle() {
    for (url, backend) in [("memory:", "memory"), ("sqlite::memory:", "sqlite")] {
        let idem = Idempotency::connect(url).await.unwrap();
        assert_eq!(idem.storage().backend(), backend);
        let call = async { Ok::<_, Error>(1) };
        assert_eq!(idem.operation("charge").key("k").run(call).await.unwrap(), 1);
    }
}
