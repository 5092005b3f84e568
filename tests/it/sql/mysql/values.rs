//! Keys and results that a database could mistake for others.

use futures_util::future::join_all;
use idem_runtime::record::{Failure, Finish};
use idem_runtime::storage::{Claimed, MySqlStorage, Storage, Written};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use testkit::sql::{Product, SqlServer};

use super::{claim, complete, migrated, replay, result, run};
use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_collations_would_merge_are_apart() {
    let storage = stage::mysql(migrated().await).await;
    let keys = ["A", "a", "a ", " a", "ä", "a\u{308}", "ß", "ss", "😀", "😁", "'", "\\", "%", "_"];
    for (number, key) in keys.iter().enumerate() {
        run(&storage, key, number.to_string().into_bytes()).await;
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(replay(&storage, key).await, result(number.to_string().into_bytes()), "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_of_a_result_comes_back() {
    let storage = stage::mysql(migrated().await).await;
    let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for (key, bytes) in
        [("none", vec![]), ("all", all), ("zeros", vec![0; 300]), ("spaces", vec![b' '; 9])]
    {
        run(&storage, key, bytes.clone()).await;
        assert_eq!(replay(&storage, key).await, result(bytes), "{key}");
    }
    let claim = claim("error");
    storage.claim(&claim).await.unwrap();
    let message = "not 😀 \0 \" ' \\ ü".to_owned();
    let failed = Finish::Failed(Failure::Error { message, typed: None });
    storage.complete(&complete(&claim, failed.clone())).await.unwrap();
    assert_eq!(replay(&storage, "error").await, failed);
}

/// Results that make one batch too large for a statement, with some that are unlike the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_large_and_different_results_is_stored_whole() {
    let storage = stage::mysql(migrated().await).await;
    let claims: Vec<_> = (0..60).map(|number| claim(&format!("large-{number}"))).collect();
    for claimed in join_all(claims.iter().map(|claim| storage.claim(claim))).await {
        assert!(matches!(claimed.unwrap(), Claimed::Acquired { .. }));
    }
    let finish = |number: usize| match number % 3 {
        0 => Finish::Failed(Failure::TooLarge { size: 1 << 40 }),
        _ => result(vec![u8::try_from(number).unwrap(); number * 4000]),
    };
    let completes: Vec<_> =
        claims.iter().enumerate().map(|(number, claim)| complete(claim, finish(number))).collect();
    for written in join_all(completes.iter().map(|complete| storage.complete(complete))).await {
        assert_eq!(written.unwrap(), Written::Done);
    }
    for number in 0..60 {
        assert!(replay(&storage, &format!("large-{number}")).await == finish(number), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_the_server_does_not_take_fails_by_itself() {
    let server = SqlServer::builder(Product::MySql)
        .without_fsync()
        .setting("max_allowed_packet", "1M")
        .start();
    let storage = stage::mysql(server.url()).await;
    storage.migrate().await.unwrap();
    let claims: Vec<_> = (0..8).map(|number| claim(&number.to_string())).collect();
    join_all(claims.iter().map(|claim| storage.claim(claim))).await;
    let size = |number| if number == 3 { 3 << 20 } else { 300_000 };
    let completes: Vec<_> =
        (0..8).map(|number| complete(&claims[number], result(vec![7; size(number)]))).collect();
    let written = join_all(completes.iter().map(|complete| storage.complete(complete))).await;
    for (number, written) in written.into_iter().enumerate() {
        match written {
            Ok(written) => assert!(number != 3 && written == Written::Done, "{number}"),
            Err(error) => assert!(number == 3, "{number}: {error}"),
        }
    }
    // The key is still its owner's.
    let written = storage.complete(&complete(&claims[3], result(vec![1]))).await.unwrap();
    assert_eq!(written, Written::Done);
}

/// A pool may come with any settings of its sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_session_change_nothing() {
    let url = migrated().await;
    let plain = stage::mysql(&url).await;
    let settings = [
        "SET time_zone = '+13:00'",
        "SET sql_mode = ''",
        "SET sql_mode = 'ANSI,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        "SET NAMES latin1",
    ];
    for (number, setting) in settings.into_iter().enumerate() {
        let storage = MySqlStorage::new(pool_with(&url, setting).await);
        let key = format!("settings-{number}");
        let first = claim(&key);
        assert!(matches!(storage.claim(&first).await.unwrap(), Claimed::Acquired { .. }));
        let rival = plain.claim(&claim(&key)).await.unwrap();
        let Claimed::InProgress { lease_left } = rival else { panic!("{setting}: {rival:?}") };
        assert!(
            lease_left > first.lease / 2 && lease_left <= first.lease,
            "{setting}: {lease_left:?}"
        );
        let written = storage.complete(&complete(&first, result(b"\xff'".to_vec()))).await.unwrap();
        assert_eq!(written, Written::Done, "{setting}");
        for other in [&plain, &storage] {
            assert_eq!(replay(other, &key).await, result(b"\xff'".to_vec()), "{setting}");
        }
    }
}

/// A pool whose sessions have a setting.
pub(super) async fn pool_with(url: &str, setting: &'static str) -> MySqlPool {
    let set = MySqlPoolOptions::new().after_connect(move |connection, _| {
        Box::pin(async move { sqlx::raw_sql(setting).execute(connection).await.map(drop) })
    });
    set.connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_leave_no_transaction_and_no_lock() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let storage = stage::mysql(server.url()).await;
    storage.migrate().await.unwrap();
    for number in 0..1000_u64 {
        let claim = claim(&format!("given-up-{number}"));
        let patience = std::time::Duration::from_micros(number);
        let _ = tokio::time::timeout(patience, storage.claim(&claim)).await;
    }
    run(&storage, "after them", vec![1]).await;
    let open = server
        .query("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_locked > 0");
    assert_eq!(open, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_enough() {
    let storage = MySqlStorage::builder().connections(1).connect(migrated().await).await.unwrap();
    let keys: Vec<_> = (0..40).map(|number| format!("one-{number}")).collect();
    join_all(keys.iter().map(|key| run(&storage, key, vec![1]))).await;
}
