//! What Redis refuses, alone, behind Sentinel and as a cluster. TLS is in a binary of its own, `tests/tls`.

use idempotency::outbox::{Event, EventId, PublishErrorKind, Publisher, RedisStreams};
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};

use super::{NOWHERE, PASSWORD, Refusal, hold_all, stranger};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_redis_refuses_says_why() {
    let server = RedisServer::builder().password("right").start();
    server.command(&["ACL", "SETUSER", "poor", "on", ">right", "~*", "&*", "+@all", "-@scripting"]);
    let port = server.port();
    let at = |login: &str, rest: &str| format!("redis://{login}127.0.0.1:{port}/{rest}");
    hold_all(vec![
        // The address.
        Refusal::passing(
            format!("redis://:{PASSWORD}@name.invalid/"),
            &["name.invalid", "host name"],
        ),
        Refusal::passing(
            format!("redis://:{PASSWORD}@127.0.0.1:{NOWHERE}/"),
            &["cannot connect to redis at redis://***@127.0.0.1:", "nothing listens"],
        ),
        Refusal::passing("unix:///nowhere/redis.sock", &["/nowhere/redis.sock", "no socket"]),
        // The login.
        Refusal::configuration(at("", ""), &["requires a password"]),
        Refusal::configuration(at(&format!(":{PASSWORD}@"), ""), &["user name or the password"]),
        Refusal::configuration(
            at(&format!("nobody:{PASSWORD}@"), ""),
            &["user name or the password"],
        ),
        // Rights.
        Refusal::configuration(at("poor:right@", ""), &["does not let this user"])
            .never(&["password"]),
        // The database.
        Refusal::configuration(at(":right@", "99"), &["no database of this number"]),
        // A single server that is no cluster.
        Refusal::configuration(
            at(":right@", "").replace("redis:", "redis-cluster:"),
            &["no cluster", "redis://"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_or_of_another_kind_says_so() {
    let server = RedisServer::builder().config("maxclients", "1").start();
    // The one that there is room for.
    let client = redis::Client::open(server.url()).unwrap();
    let taken = client.get_connection();
    let refusal = Refusal::passing(server.url(), &["no connection left"]);
    refusal.hold().await;
    drop(taken);

    let url = format!("redis://:{PASSWORD}@{}/", stranger().await);
    Refusal::passing(url, &["cannot connect to redis at", "the server there"]).hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sentinels_refuse_says_why() {
    let setup = SentinelSetup::start();
    let nodes: Vec<_> = setup.sentinel_urls().iter().map(|url| host(url).to_owned()).collect();
    let at =
        |login: &str, name: &str| format!("redis-sentinel://{login}{}/{name}", nodes.join(","));
    hold_all(vec![
        Refusal::passing(
            format!("redis-sentinel://:{PASSWORD}@127.0.0.1:{}/{}", NOWHERE, setup.master_name()),
            &["redis-sentinel://***@127.0.0.1:"],
        ),
        Refusal::passing(at("", "another"), &["sentinels", "no reachable primary"]),
        Refusal::configuration(
            at(&format!("nobody:{PASSWORD}@"), setup.master_name()),
            &["user name or the password"],
        ),
        Refusal::configuration(
            format!("{}/99", at("", setup.master_name())),
            &["no database of this number"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_refuses_says_why() {
    let setup = ClusterSetup::start_with(RedisServer::builder().password("right"), 3, 0);
    let nodes: Vec<_> = setup.urls().iter().map(|url| host(url).to_owned()).collect();
    let at = |login: &str| format!("redis-cluster://{login}{}", nodes.join(","));
    let one = &nodes[0];
    hold_all(vec![
        Refusal::passing(
            format!("redis-cluster://:{PASSWORD}@127.0.0.1:{NOWHERE}"),
            &["redis-cluster://***@127.0.0.1:", "nothing listens"],
        ),
        Refusal::passing(
            format!("redis-cluster://:{PASSWORD}@name.invalid:1"),
            &["name.invalid", "host name"],
        ),
        Refusal::configuration(at(""), &["requires a password"]),
        Refusal::configuration(at(&format!(":{PASSWORD}@")), &["user name or the password"]),
        Refusal::configuration(format!("{}/1", at(":right@")), &["a cluster has no databases"]),
        Refusal::configuration(format!("redis://:right@{one}/1"), &["cluster", "redis-cluster://"]),
    ])
    .await;
}

/// Host and port of an address.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1.trim_end_matches('/');
    rest.rsplit('@').next().unwrap()
}

/// The name of a topic that is something else there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_something_else_is_not_told_as_a_record() {
    let server = RedisServer::start();
    server.command(&["SET", "orders", "a text"]);
    let event = Event::new(EventId::random(), "orders", "42", "{}");
    let error = RedisStreams::connect(server.url()).unwrap().publish(&event).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Retryable);
    let text = error.to_string();
    assert!(text.contains("something else under the name of the stream"), "{text}");
    assert!(!text.contains("record"), "{text}");
}
