//! Users who lack a right: what each of them is told, before a body has run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_runtime::storage::{RedisStorage, Storage, StorageError, StorageErrorKind};
use idem_runtime::{Error, ErrorKind, Idempotency};
use testkit::redis::{ClusterSetup, RedisServer};

use crate::docs::rights::redis_rules;
use crate::stage::{PATIENCE, in_time, until};

/// Without these calls are as they are: they are for tools, warnings, waiters and clusters.
const SPARED: [&str; 7] = [
    "+spublish",
    "+ssubscribe",
    "+sunsubscribe",
    "+scan",
    "+info",
    "+config|get",
    "+cluster|slots",
];

/// Makes the user of docs/operating.md, without what `lacks` says.
fn make_user(server: &RedisServer, lacks: impl Fn(&str) -> bool) {
    let rules = redis_rules();
    let mut command = vec!["ACL", "SETUSER", "app", "reset"];
    command.extend(rules.iter().map(String::as_str).filter(|rule| !lacks(rule)));
    server.command(&command);
}

fn url(server: &RedisServer) -> String {
    format!("redis://app:password@127.0.0.1:{}/", server.port())
}

async fn connect(server: &RedisServer) -> Result<RedisStorage, StorageError> {
    RedisStorage::connect(url(server)).await
}

fn refuses(error: &StorageError, word: &str) {
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
    let text = error.to_string();
    assert!(text.to_lowercase().contains(word), "{word} is not named: {text}");
    assert!(text.contains("does not let this user"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_a_user_lacks_is_named_before_a_body_runs() {
    let server = RedisServer::start();
    let rules = redis_rules();
    let commands = rules.iter().filter(|rule| rule.starts_with('+'));
    let needed: Vec<_> = commands.filter(|rule| !SPARED.contains(&rule.as_str())).collect();
    assert!(needed.len() >= 10, "{needed:?}");
    for lacking in needed {
        make_user(&server, |rule| rule == lacking);
        let error = connect(&server).await.expect_err(lacking);
        let word = if lacking == "+ping" { "" } else { &lacking[1..] };
        refuses(&error, word);
        until("nothing is left", || server.command(&["KEYS", "*"]).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_needed_for_calls_is_not_asked_for() {
    let server = RedisServer::start();
    for lacking in SPARED {
        make_user(&server, |rule| rule == lacking);
        let storage = connect(&server).await.expect(lacking);
        let warnings = storage.warnings().await.unwrap();
        let polls = warnings.iter().any(|warning| warning.setting() == "acl");
        assert_eq!(polls, lacking == "+spublish", "{lacking}");
        calls_once(&storage, lacking).await;
    }
}

/// A call, a duplicate that waits for it, and one that comes later.
async fn calls_once(storage: &RedisStorage, key: &str) {
    let (runs, idem) = (AtomicUsize::new(0), Idempotency::new(storage.clone()).unwrap());
    let elsewhere = Idempotency::new(storage.clone()).unwrap();
    let call = async |idem: &Idempotency| {
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Error>(7)
        };
        let operation = idem.operation("charge").key(key).wait(PATIENCE);
        in_time(operation.run_with_outcome(body)).await.unwrap()
    };
    let (first, second) = tokio::join!(call(&idem), call(&elsewhere));
    let third = call(&idem).await;
    assert_eq!((first.value, second.value, third.value), (7, 7, 7));
    assert_eq!((third.is_replayed(), runs.load(Ordering::SeqCst)), (true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_channels_of_others_are_told_apart() {
    let server = RedisServer::start();
    make_user(&server, |rule| rule.starts_with('~'));
    refuses(&connect(&server).await.unwrap_err(), "use the keys idem:* and");
    make_user(&server, |rule| rule.starts_with('&'));
    let storage = connect(&server).await.unwrap();
    let warnings = storage.warnings().await.unwrap();
    assert!(warnings.iter().any(|warning| warning.setting() == "acl"), "{warnings:?}");
    calls_once(&storage, "order").await;
    // Reading is not writing, and only one of them is asked for by `GET`.
    make_user(&server, |rule| rule.starts_with('~'));
    server.command(&["ACL", "SETUSER", "app", "%R~idem:*"]);
    refuses(&connect(&server).await.unwrap_err(), "use the keys idem:*");
    let builder = RedisStorage::builder(url(&server)).prefix("other:");
    make_user(&server, |_| false);
    refuses(&builder.connect().await.unwrap_err(), "use the keys other:*");
    // A namespace's own pattern, and that of the trial.
    make_user(&server, |rule| rule.starts_with('~'));
    server.command(&["ACL", "SETUSER", "app", "~idem:{}default:*", "~idem:probe:*"]);
    calls_once(&connect(&server).await.unwrap(), "namespaced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_a_server_has_under_another_name_are_named() {
    let server = RedisServer::builder().config("rename-command", "EVALSHA \"\"").start();
    refuses(&RedisStorage::connect(server.url()).await.unwrap_err(), "evalsha");
}

/// Rights are a server's own: after a failover, or a change, they are others.
#[tokio::test(flavor = "multi_thread")]
async fn rights_are_tried_again_on_every_new_connection() {
    let server = RedisServer::start();
    make_user(&server, |_| false);
    let storage = connect(&server).await.unwrap();
    calls_once(&storage, "before").await;
    server.command(&["ACL", "SETUSER", "app", "-time"]);
    server.command(&["CLIENT", "KILL", "USER", "app"]);
    let (runs, idem) = (AtomicUsize::new(0), Idempotency::new(storage).unwrap());
    for key in ["first", "second", "third"] {
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(7)
        };
        let error =
            in_time(idem.operation("charge").key(key).run_with_outcome(body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("TIME"), "{error}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    server.command(&["ACL", "SETUSER", "app", "+time"]);
    let body = async { Ok::<_, Error>(7) };
    let outcome =
        in_time(idem.operation("charge").key("first").run_with_outcome(body)).await.unwrap();
    assert!(!outcome.is_replayed());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_primary_of_a_cluster_is_tried() {
    let cluster = ClusterSetup::start();
    let nodes = || (0..cluster.node_count()).map(|number| cluster.node(number));
    let connect = async || {
        let urls: Vec<_> = nodes().map(RedisServer::url).collect();
        RedisStorage::cluster(urls).login(Some("app"), "password").connect().await
    };
    for odd in nodes() {
        nodes().for_each(|node| make_user(node, |_| false));
        let storage = connect().await.unwrap();
        calls_once(&storage, &format!("order-{}", odd.port())).await;
        make_user(odd, |rule| rule == "+time");
        refuses(&connect().await.unwrap_err(), "time");
    }
}
