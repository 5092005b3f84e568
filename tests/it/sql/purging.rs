//! Removing what has expired: in batches, by the index, by several at once, until it is told to stop.

use std::time::Duration;

use futures_util::future::join_all;
use idem_runtime::storage::{Claim, MySqlStorage, PostgresStorage, SqliteStorage, Storage};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::own::{Database, Kind, on_every_database};
use super::{claim, key};
use crate::stage::{in_time, until};

on_every_database!(
    janitors_side_by_side_remove_what_has_expired_and_nothing_else,
    a_janitor_that_was_stopped_removes_nothing_more,
);

/// More than three batches of a janitor.
const EXPIRED: usize = 3_300;
const LIVE: usize = 700;

async fn janitor(database: &Database, every: Duration, stop: &CancellationToken) -> JoinHandle<()> {
    let (url, stop) = (&database.url, stop.clone());
    match database.kind {
        Kind::Postgres => PostgresStorage::connect(url).await.unwrap().spawn_janitor(every, stop),
        Kind::MySql => MySqlStorage::connect(url).await.unwrap().spawn_janitor(every, stop),
        Kind::Sqlite => SqliteStorage::connect(url).await.unwrap().spawn_janitor(every, stop),
    }
}

/// Claims so many keys, of which none lasts if their time is zero.
async fn claim_many(storage: &impl Storage, name: &str, count: usize, ttl: Option<Duration>) {
    let claims: Vec<_> = (0..count)
        .map(|number| {
            let claim = claim(&key(&format!("{name}-{number}")));
            let (lease, ttl) = (ttl.unwrap_or(claim.lease), ttl.unwrap_or(claim.ttl));
            Claim { lease, ttl, ..claim }
        })
        .collect();
    for claimed in join_all(claims.iter().map(|claim| storage.claim(claim))).await {
        claimed.unwrap();
    }
}

async fn until_rows(database: &Database, count: usize) {
    let counted = async {
        while database.rows().await != i64::try_from(count).unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(counted).await;
}

async fn janitors_side_by_side_remove_what_has_expired_and_nothing_else(kind: Kind) {
    let database = Database::migrated(kind).await;
    let storage = database.storage().await;
    claim_many(&storage, "live", LIVE, None).await;
    claim_many(&storage, "expired", EXPIRED, Some(Duration::ZERO)).await;
    assert_eq!(database.rows().await, i64::try_from(LIVE + EXPIRED).unwrap());
    let stop = CancellationToken::new();
    let mut janitors = Vec::new();
    for _ in 0..3 {
        janitors.push(janitor(&database, Duration::from_millis(20), &stop).await);
    }
    until_rows(&database, LIVE).await;
    // It goes on with what comes later.
    claim_many(&storage, "later", 50, Some(Duration::ZERO)).await;
    until_rows(&database, LIVE).await;
    stop.cancel();
    until("the janitors have stopped", || janitors.iter().all(JoinHandle::is_finished)).await;
    for number in 0..LIVE {
        assert!(storage.load(&key(&format!("live-{number}"))).await.unwrap().is_some());
    }
}

async fn a_janitor_that_was_stopped_removes_nothing_more(kind: Kind) {
    let database = Database::migrated(kind).await;
    let storage = database.storage().await;
    let stop = CancellationToken::new();
    let janitor = janitor(&database, Duration::from_millis(1), &stop).await;
    claim_many(&storage, "expired", 1, Some(Duration::ZERO)).await;
    until_rows(&database, 0).await;
    stop.cancel();
    // Its task has ended, so that nothing of it is left that could remove what comes later.
    in_time(janitor).await.unwrap();
    claim_many(&storage, "later", 5, Some(Duration::ZERO)).await;
    assert_eq!(database.rows().await, 5);
    // By hand, so many at a time.
    assert_eq!(storage.purge(2).await.unwrap(), 2);
    assert_eq!(storage.purge(1_000).await.unwrap(), 3);
    assert_eq!(storage.purge(1_000).await.unwrap(), 0);
}
