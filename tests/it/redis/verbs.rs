//! What the verbs cost, and what they leave in Redis.

use std::collections::HashMap;
use std::time::Duration;

use idem_runtime::key::RecordKey;
use idem_runtime::record::{Fence, OwnerId, State};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Lost, RedisStorage, Storage, StorageError, StorageErrorKind, Written,
};
use idem_runtime::{Error, Idempotency, Key};
use testkit::redis::{RedisServer, shared};

use super::{LONG, claim, complete, completed, connect, fresh_key, redis_key, release, renew};

/// Commands that clients sent since the last `CONFIG RESETSTAT`, by name. Scripts are made of commands that no client of ours sends.
fn sent(server: &RedisServer) -> HashMap<String, u64> {
    let stats = server.info("commandstats").into_iter();
    let calls = stats.map(|(name, fields)| {
        let calls = fields.split(',').next().unwrap().strip_prefix("calls=").unwrap();
        (name.strip_prefix("cmdstat_").unwrap().to_owned(), calls.parse().unwrap())
    });
    let scripted =
        ["get", "getrange", "setrange", "psetex", "pexpire", "pttl", "del", "time", "spublish"];
    let unasked = ["config|resetstat", "info", "hello", "client|setinfo", "select"];
    calls.filter(|(name, _)| !scripted.contains(&&**name) && !unasked.contains(&&**name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_call_is_two_commands_and_a_replay_is_one() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (warm, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&warm, owner)).await.unwrap();
    storage.complete(&complete(&warm, owner, "1")).await.unwrap();

    server.command(&["CONFIG", "RESETSTAT"]);
    let key = fresh_key();
    storage.claim(&claim(&key, owner)).await.unwrap();
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    let commands = sent(&server);
    assert_eq!(commands, HashMap::from([("set".to_owned(), 1), ("evalsha".to_owned(), 1)]));

    server.command(&["CONFIG", "RESETSTAT"]);
    storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
    assert_eq!(sent(&server), HashMap::from([("set".to_owned(), 1)]));
}

/// All at the same time; the answers in the same order.
async fn complete_at_once(
    storage: &RedisStorage,
    completes: impl IntoIterator<Item = Complete>,
) -> Vec<Result<Written, StorageError>> {
    let calls = completes.into_iter().map(|complete| {
        let storage = storage.clone();
        tokio::spawn(async move { storage.complete(&complete).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_at_the_same_time_share_calls_and_each_gets_its_own_answer() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (owner, other) = (OwnerId::random(), OwnerId::random());
    let keys: Vec<_> = (0..200).map(|_| fresh_key()).collect();
    for (number, key) in keys.iter().enumerate() {
        match number % 5 {
            0 => {}
            1 => drop(server.command(&["RPUSH", &redis_key(key), "no record"])),
            2 => drop(storage.claim(&claim(key, other)).await.unwrap()),
            _ => drop(storage.claim(&claim(key, owner)).await.unwrap()),
        }
    }
    // So that the script is known, and calls of it are told from calls of its text.
    storage.complete(&complete(&fresh_key(), owner, "")).await.unwrap();
    server.command(&["CONFIG", "RESETSTAT"]);
    let completes = keys.iter().enumerate();
    let completes = completes.map(|(number, key)| complete(key, owner, &number.to_string()));
    let answers = complete_at_once(&storage, completes).await;
    assert!(sent(&server)["evalsha"] < 200, "{:?}", sent(&server));

    for (number, (key, answer)) in keys.iter().zip(answers).enumerate() {
        match number % 5 {
            0 => assert_eq!(answer.unwrap(), Written::LeaseLost(Lost::Gone)),
            1 => assert_eq!(answer.unwrap_err().kind(), StorageErrorKind::Corrupt),
            2 => assert_eq!(answer.unwrap(), Written::LeaseLost(Lost::TakenOver)),
            _ => {
                assert_eq!(answer.unwrap(), Written::Done);
                let replay = storage.claim(&claim(key, other)).await.unwrap();
                let Claimed::Replay(finished) = replay else { panic!("{replay:?}") };
                assert_eq!(finished.finish, completed(&number.to_string()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_at_the_same_time_survive_that_the_script_is_forgotten() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let owner = OwnerId::random();
    let keys: Vec<_> = (0..100).map(|_| fresh_key()).collect();
    for key in &keys {
        storage.claim(&claim(key, owner)).await.unwrap();
    }
    server.command(&["SCRIPT", "FLUSH"]);
    let answers = complete_at_once(&storage, keys.iter().map(|key| complete(key, owner, "1")));
    assert!(answers.await.into_iter().all(|answer| answer.unwrap() == Written::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_the_server_refuses_does_not_take_others_with_it() {
    let server = RedisServer::start();
    let keys = ["~idem:{}it:*", "~idem:probe:*"];
    server.command(&["ACL", "SETUSER", "app", "on", ">pass", keys[0], keys[1], "&*", "+@all"]);
    let storage = connect(&format!("redis://app:pass@127.0.0.1:{}/", server.port())).await;
    let owner = OwnerId::random();
    let foreign = RecordKey::new("elsewhere", None, &Key::new("k").unwrap()).unwrap();
    let keys: Vec<_> = (0..100).map(|_| fresh_key()).collect();
    for key in &keys {
        storage.claim(&claim(key, owner)).await.unwrap();
    }
    let all = keys.iter().chain([&foreign]).map(|key| complete(key, owner, "1"));
    let mut answers = complete_at_once(&storage, all).await;
    let refused = answers.pop().unwrap().unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Configuration, "{refused}");
    assert!(answers.into_iter().all(|answer| answer.unwrap() == Written::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_renewals_renews_each() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let owner = OwnerId::random();
    let keys: Vec<_> = (0..600).map(|_| fresh_key()).collect();
    for key in keys.iter().skip(1) {
        storage.claim(&claim(key, owner)).await.unwrap();
        server.command(&["PEXPIRE", &redis_key(key), "60000"]);
    }
    let renewals: Vec<_> = keys.iter().map(|key| renew(key, owner)).collect();
    let replies = storage.renew(&renewals).await;
    assert_eq!(replies[0].as_ref().unwrap(), &Written::LeaseLost(Lost::Gone));
    assert!(replies[1..].iter().all(|reply| reply.as_ref().unwrap() == &Written::Done));
    for key in &keys[1..] {
        let left: i64 = server.command(&["PTTL", &redis_key(key)]).parse().unwrap();
        assert!(left > 1_190_000, "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_of_a_claim_is_its_lease_and_ttl_and_that_of_a_result_its_ttl() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    let left = || server.query::<i64>(&["PTTL", &redis_key(&key)]);
    let claim = Claim { lease: Duration::from_secs(30), ..claim(&key, owner) };
    storage.claim(&claim).await.unwrap();
    assert!((625_000..=630_000).contains(&left()), "{}", left());
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!((595_000..=600_000).contains(&left()), "{}", left());
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_beyond_a_century_are_a_century_and_zero_is_a_moment() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    let endless = Claim { lease: Duration::MAX, ttl: Duration::MAX, ..claim(&key, owner) };
    assert_eq!(
        storage.claim(&endless).await.unwrap(),
        Claimed::Acquired { fence: Fence::FIRST, recovered: false }
    );
    assert_eq!(storage.renew(&[renew(&key, owner)]).await[0].as_ref().unwrap(), &Written::Done);
    let reply =
        storage.claim(&Claim { owner: OwnerId::random(), ..endless.clone() }).await.unwrap();
    let Claimed::InProgress { lease_left } = reply else { panic!("{reply:?}") };
    assert!(lease_left > LONG * 24 * 365 * 50);
    let mut result = complete(&key, owner, "1");
    result.ttl = Duration::MAX;
    assert_eq!(storage.complete(&result).await.unwrap(), Written::Done);
    assert!(server.query::<i64>(&["PTTL", &redis_key(&key)]) > 3_000_000_000_000);

    let key = fresh_key();
    let moment = Claim { lease: Duration::ZERO, ttl: Duration::ZERO, ..claim(&key, owner) };
    storage.claim(&moment).await.unwrap();
    testkit::wait::until("the record has expired", LONG, || {
        server.command(&["EXISTS", &redis_key(&key)]) == "0"
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_record_has_its_deadlines_on_the_servers_clock() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    assert_eq!(storage.load(&key).await.unwrap(), None);
    let claim = Claim { lease: Duration::from_secs(30), ..claim(&key, owner) };
    storage.claim(&claim).await.unwrap();
    let record = storage.load(&key).await.unwrap().unwrap();
    let now: u64 = server.command(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let State::Processing { lease, lease_until, ttl, .. } = record.state else { panic!() };
    assert_eq!((lease, ttl), (claim.lease, claim.ttl));
    assert!((25..=30).contains(&(lease_until.as_millis() / 1000 - now)));
    assert!((620..=630).contains(&(record.expires_at.as_millis() / 1000 - now)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_lists_every_record_of_its_prefix_and_no_other() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let builder = RedisStorage::builder(server.url());
    let other = builder.prefix("idem[*]:").connect().await.unwrap();
    let longer = RedisStorage::builder(server.url()).prefix("idem:it:").connect().await.unwrap();
    let owner = OwnerId::random();
    let mut keys: Vec<_> = (0..250).map(|_| fresh_key()).collect();
    for key in &keys {
        storage.claim(&claim(key, owner)).await.unwrap();
    }
    let foreign = fresh_key();
    for storage in [&other, &longer] {
        storage.claim(&claim(&foreign, owner)).await.unwrap();
    }
    server.command(&["SET", "unrelated", "value"]);

    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = storage.scan(cursor.as_ref(), 50).await.unwrap();
        assert!(page.records.iter().all(|(_, record)| record.as_ref().unwrap().owner == owner));
        found.extend(page.records.into_iter().map(|(key, _)| key));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.sort();
    found.dedup();
    keys.sort();
    assert_eq!(found, keys);

    for storage in [other, longer] {
        let page = storage.scan(None, 1000).await.unwrap();
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.records[0].0, foreign);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_that_extend_one_another_share_no_record() {
    let url = shared().url();
    let one = RedisStorage::builder(url).prefix("idem:").connect().await.unwrap();
    let longer = RedisStorage::builder(url).prefix("idem:x:").connect().await.unwrap();
    let unique = OwnerId::random().to_string();
    let of_one = RecordKey::new("x", Some("t"), &Key::new(&unique).unwrap()).unwrap();
    let of_longer = RecordKey::new("t", None, &Key::new(&unique).unwrap()).unwrap();
    let glued = RecordKey::from_stored(format!("x:{}", of_longer.as_str()));
    for (storage, key) in [(&one, &of_one), (&longer, &of_longer), (&one, &glued)] {
        let claimed = storage.claim(&claim(key, OwnerId::random())).await.unwrap();
        assert!(matches!(claimed, Claimed::Acquired { .. }), "{key:?} {claimed:?}");
    }
    for prefix in ["{idem}:", "idem{", "}"] {
        let refused = RedisStorage::builder(url).prefix(prefix).connect().await.unwrap_err();
        assert_eq!(refused.kind(), StorageErrorKind::Configuration, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_callers_at_once_each_get_their_own_answer() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let calls = (0..500).map(|number| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let (key, owner) = (fresh_key(), OwnerId::random());
            for round in 0..4 {
                let acquired = storage.claim(&claim(&key, owner)).await.unwrap();
                let fence = Fence::new(round + 1);
                assert_eq!(acquired, Claimed::Acquired { fence, recovered: false });
                if round < 3 {
                    let released = storage.release(&release(&key, owner)).await.unwrap();
                    assert_eq!(released, Written::Done);
                }
            }
            let result = complete(&key, owner, &number.to_string());
            assert_eq!(storage.complete(&result).await.unwrap(), Written::Done);
            let replay = storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
            let Claimed::Replay(finished) = replay else { panic!("{replay:?}") };
            assert_eq!(finished.finish, result.finish);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_disturb_nobody() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let storage = storage.clone();
            tokio::spawn(async move {
                let (key, owner) = (fresh_key(), OwnerId::random());
                let impatient = Duration::from_micros(number * 7 % 400);
                let first = claim(&key, owner);
                let _ = tokio::time::timeout(impatient, storage.claim(&first)).await;
                assert!(matches!(storage.claim(&first).await.unwrap(), Claimed::Acquired { .. }));
                let result = complete(&key, owner, &number.to_string());
                let _ = tokio::time::timeout(impatient, storage.complete(&result)).await;
                assert_eq!(storage.complete(&result).await.unwrap(), Written::Done);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

/// The release of a claim that nobody waits for any more must reach the server behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_at_any_moment_leave_no_key_locked() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let idem = Idempotency::new(storage.clone()).unwrap();
    let callers = (0..512).map(|caller| {
        let idem = idem.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                let key = format!("{caller}:{number}");
                let body = std::future::pending::<Result<(), Error>>();
                let call = idem.operation("op").key(key).lease(LONG).ttl(LONG).run(body);
                let patience = async {
                    for _ in 0..(caller * 7 + number * 5) % 31 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    _ = call => unreachable!("the body never ends"),
                    () = patience => {}
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let settled = async {
        while idem.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
    let (mut after, mut released) = (None, 0);
    loop {
        let page = storage.scan(after.as_ref(), 10_000).await.unwrap();
        for (key, record) in page.records {
            assert_eq!(record.unwrap().state, State::Released, "{key:?}");
            released += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(released > 0, "no caller went away after its claim");
}

/// A storage takes an address and no connection: what the application blocks is never the storage's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_application_blocks_costs_no_lease() {
    use crate::stage::{KEPT, PATIENCE, Stage, in_time};

    let stage = Stage::on_redis();
    let process = stage.process_with(|builder| builder.lease(KEPT)).await;
    let other = stage.process_with(|builder| builder.lease(KEPT)).await;
    let client = redis::Client::open(stage.url()).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let connecting = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = in_time(connecting).await.unwrap();
    let body = async {
        let seconds = (KEPT * 4).as_secs_f64();
        let list = format!("{}-nothing", stage.namespace);
        let blocking = redis::cmd("BLPOP").arg(list).arg(seconds).to_owned();
        let popped: Option<(String, String)> = blocking.query_async(&mut connection).await.unwrap();
        assert_eq!(popped, None);
        stage.body("k", "first").await
    };
    let rival = async {
        tokio::time::sleep(KEPT / 2).await;
        other.charge("k").wait(PATIENCE).run(stage.body("k", "other")).await.unwrap()
    };
    let running = process.charge("k").run(body);
    let (first, second) = in_time(futures_util::future::join(running, rival)).await;
    assert_eq!((first.unwrap().as_str(), second.as_str()), ("first", "first"));
    assert_eq!(stage.ledger.executions("k"), 1);
}
