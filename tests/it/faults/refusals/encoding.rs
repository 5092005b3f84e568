//! Passwords with characters that end a URL's login: the help is to percent-encode them, and no part of the password is shown or looked up.

use std::error::Error as _;

use idem_runtime::ErrorKind;
use idem_runtime::storage::RedisStorage;
use idempotency::outbox::{OutboxErrorKind, RedisStreams};
use testkit::redis::RedisServer;
use testkit::sql::{Product, SqlServer, query};

use super::{Refusal, signed_in};
use crate::seen::Seen;

/// With a character in the middle, at the start, and behind digits, which could be a port.
fn passwords(character: char) -> [String; 3] {
    [
        format!("hunter2{character}secret"),
        format!("{character}hunter2"),
        format!("7788{character}hunter2"),
    ]
}

#[tokio::test]
async fn a_password_that_ends_the_login_is_told_how_to_be_written() {
    let seen = Seen::default();
    let _logging = seen.log();
    let schemes =
        ["postgres", "postgresql", "mysql", "mariadb", "redis", "valkey", "redis-cluster"];
    let with_port = schemes.map(|scheme| (scheme, "/1")).into_iter();
    for (scheme, database) in with_port.chain([("redis-sentinel", "/primary")]) {
        for character in ['#', '/', '?'] {
            for password in passwords(character) {
                let url = format!("{scheme}://user:{password}@127.0.0.1:1{database}");
                let refusal = Refusal::configuration(&url, &["percent-encode"]);
                let error = idem_runtime::Idempotency::connect(&url).await.unwrap_err();
                refusal.judge(&error);
                let text = format!("{error} {error:?}");
                assert!(!text.contains("secret") && !text.contains("7788"), "{url}: {text}");
            }
        }
    }
    assert!(!seen.all().contains("hunter2") && !seen.all().contains("secret"), "{}", seen.all());
}

#[tokio::test]
async fn so_is_one_that_is_no_part_of_a_url_otherwise() {
    for url in [
        "postgres://user:hunter2[@[::1/db",
        "mysql://user:hunter2%ff@localhost:port/db",
        "redis://user:hunter2@localhost:port/",
    ] {
        Refusal::configuration(url, &["percent-encode"]).hold().await;
    }
}

#[tokio::test]
async fn lists_of_servers_and_publishers_say_the_same() {
    let url = "redis://:hunter2#secret@127.0.0.1:1/";
    for builder in [RedisStorage::sentinel([url], "primary"), RedisStorage::cluster([url])] {
        let error = builder.connect().await.unwrap_err();
        Refusal::configuration(url, &["percent-encode"]).judge(&error.into());
    }
    let error = RedisStreams::connect(url).unwrap_err();
    assert_eq!(error.kind(), OutboxErrorKind::Configuration);
    let text = format!("{error} {error:?} {:?}", error.source());
    assert!(text.contains("percent-encode") && !text.contains("hunter2"), "{text}");
}

/// What the help says is what works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_written_so_is_accepted() {
    let password = "p#a/s?s@w%o:rd";
    let encoded = "p%23a%2Fs%3Fs%40w%25o%3Ard";
    let redis = RedisServer::builder().password(password).start();
    let url = format!("redis://:{encoded}@127.0.0.1:{}/", redis.port());
    idem_runtime::Idempotency::connect(&url).await.unwrap();
    for (product, make) in [
        (Product::Postgres, format!("CREATE ROLE app LOGIN PASSWORD '{password}'")),
        (Product::MySql, format!("CREATE USER app IDENTIFIED BY '{password}'")),
    ] {
        let server = SqlServer::builder(product).without_fsync().start();
        query(&server.url(), &make).unwrap();
        let url = signed_in(&server.url(), "app", encoded);
        let connected = idem_runtime::Idempotency::connect(&url).await;
        let refused = connected.err().map(|error| (error.kind(), error.to_string()));
        // The user may log in, and do nothing else.
        let is_let_in = refused.as_ref().is_none_or(|(kind, text)| {
            *kind == ErrorKind::Configuration
                && ["may not use the database", "may not create"]
                    .iter()
                    .any(|why| text.contains(why))
        });
        assert!(is_let_in, "{refused:?}");
    }
}
