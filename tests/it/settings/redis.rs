//! Redis: one server for most, whose users have the settings.

use std::sync::Arc;

use idem_runtime::Idempotency;
use idem_runtime::storage::{RedisStorage, SharedStorage};
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::RedisServer;
use testkit::tls::Authority;

use super::callers::Callers;
use super::matrix::{Expected, Failed, Row, Verdict, judge};
use super::scenes::{self, Ledger, Pair, verdict};
use crate::docs::rights::redis_rules;

struct Setting {
    name: &'static str,
    url: String,
    callers: Callers,
    expected: Expected,
}

impl Setting {
    fn new(name: &'static str, url: String) -> Self {
        Self { name, url, callers: Callers::One, expected: Expected::Green }
    }

    fn refused(self, words: &'static str) -> Self {
        Self { expected: Expected::Refused(words), ..self }
    }
}

async fn open(setting: &Setting) -> Result<(Pair, Arc<FaultProxy>), Failed> {
    let authority = setting.url.split_once("://").unwrap().1.split('/').next().unwrap();
    let proxy = FaultProxy::start(authority.rsplit('@').next().unwrap());
    let here = SharedStorage::new(RedisStorage::connect(proxy.before(&setting.url)).await?);
    let there = SharedStorage::new(RedisStorage::connect(&setting.url).await?);
    Ok((Pair { here, there, ledger: Ledger::default() }, Arc::new(proxy)))
}

async fn play(setting: Setting) -> Row {
    let Setting { name, callers, expected, .. } = setting;
    let (pair, proxy) = match open(&setting).await {
        Ok(open) => open,
        Err(failed) => {
            let cells = vec![("all", verdict(Err(failed), 0), expected)];
            return Row { setting: name, cells };
        }
    };
    let storage = Some(&pair.here);
    let mut cells = Vec::new();
    macro_rules! simple {
        ($($scene:ident),*) => {$(
            let scene = |pair: Pair, key: String| async move { scenes::$scene(&pair, &key).await };
            let key = format!("{}, {name}", stringify!($scene));
            let ended = callers.play(&pair, storage, scene, &key).await;
            cells.push((stringify!($scene), verdict(ended, pair.ledger.count(&key)), expected));
        )*};
    }
    simple!(fresh, duplicate, takeover);
    let scene = |(pair, proxy): (Pair, Arc<FaultProxy>), key: String| async move {
        lost_reply(&pair, &proxy, &key).await
    };
    let key = format!("commit, {name}");
    let ended = callers.play(&(pair.clone(), proxy), storage, scene, &key).await;
    cells.push(("commit", verdict(ended, pair.ledger.count(&key)), expected));
    cells.push(("outbox", Verdict::Absent, expected));
    Row { setting: name, cells }
}

/// A call whose result is written, and the answer to that is lost.
async fn lost_reply(pair: &Pair, proxy: &FaultProxy, key: &str) -> Result<(), Failed> {
    let idem = Idempotency::new(pair.here.clone())?;
    let operation = idem.operation("settle").key(key);
    let body = async {
        pair.ledger.enter(key);
        proxy.drop_replies(Loss::next(1).of_requests_with("EVAL"));
        Ok::<_, Failed>("done".to_owned())
    };
    operation.run(body).await?;
    let again = Idempotency::new(pair.there.clone())?.operation("settle").key(key);
    let body = async {
        pair.ledger.enter(key);
        Ok::<_, Failed>("done twice".to_owned())
    };
    let result = again.wait(crate::stage::PATIENCE).run(body).await?;
    match (result.as_str(), pair.ledger.count(key)) {
        ("done", 1) => Ok(()),
        (result, count) => Err(Failed::Broken(format!("{count} effects, and {result}"))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_right_or_refuses_in_every_setting() {
    let server = RedisServer::start();
    let user = |name: &str, rules: &[&str]| {
        let least = redis_rules();
        let mut command = vec!["ACL", "SETUSER", name, "reset"];
        command.extend(least.iter().map(String::as_str));
        command.extend(rules);
        server.command(&command);
        format!("redis://{name}:password@127.0.0.1:{}/", server.port())
    };
    let least = || user("app", &[]);
    let encrypted = RedisServer::builder().tls(&Authority::new()).start();
    let sealed = encrypted.tls_url().replace("rediss://", "redis://");
    let replica = RedisServer::start();
    let port = server.port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    testkit::wait::until("the replica follows", crate::stage::PATIENCE, || {
        replica.info("replication").get("master_link_status").is_some_and(|link| link == "up")
    });
    let settings = [
        Setting::new("least rights", least()),
        Setting { callers: Callers::Two, ..Setting::new("two runtimes", least()) },
        Setting { callers: Callers::Frozen, ..Setting::new("frozen runtime", least()) },
        Setting::new("another database", user("third", &["+select"]) + "3"),
        Setting::new("no wake-ups", user("quiet", &["resetchannels"])),
        Setting::new("no scripts", user("plain", &["-eval", "-evalsha"])).refused("EVAL"),
        Setting::new("no clock", user("timeless", &["-time"])).refused("TIME"),
        Setting::new("read-only user", user("reader", &["-@write"])).refused("SET"),
        Setting::new("read-only server", replica.url()).refused("replica"),
        Setting::new("encrypted only", sealed).refused("cannot connect"),
    ];
    let mut rows = Vec::new();
    for setting in settings {
        rows.push(Box::pin(play(setting)).await);
    }
    judge("Redis", &rows);
}
