//! Releases in a batch, of which the server says no more than how many it has made.

use std::time::Duration;

use futures_util::future::join;
use idem_runtime::record::{Failure, Finish};
use idem_runtime::storage::{Claim, Claimed, Lost, MySqlStorage, Release, Storage, Written};
use sqlx::MySqlPool;

use super::{claim, migrated};
use crate::stage::in_time;

fn release(claim: &Claim) -> Release {
    Release { key: claim.key.clone(), owner: claim.owner }
}

/// Whether a release is waiting for a lock in this database.
async fn is_held_up(direct: &MySqlPool) -> bool {
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'UPDATE JSON_TABLE%released%'";
    let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(direct).await.unwrap();
    waiting > 0
}

#[tokio::test]
async fn a_record_that_was_parked_meanwhile_is_not_said_to_be_released() {
    let url = migrated().await;
    let storage = MySqlStorage::connect(&url).await.unwrap();
    let direct = MySqlPool::connect(&url).await.unwrap();
    let claims = ["parked", "released"].map(claim);
    for claim in &claims {
        assert!(matches!(storage.claim(claim).await, Ok(Claimed::Acquired { .. })));
    }
    let key = claims[0].key.as_str().as_bytes();
    // Releases look before they write. This lets them look, and then wait.
    let mut other = direct.begin().await.unwrap();
    let lock = "SELECT 1 FROM idempotency_records WHERE `key` = ? FOR UPDATE";
    sqlx::query(lock).bind(key).execute(&mut *other).await.unwrap();
    let releases = claims.each_ref().map(release);
    let both = tokio::spawn({
        let storage = storage.clone();
        async move {
            let [first, second] = &releases;
            join(storage.release(first), storage.release(second)).await
        }
    });
    in_time(async {
        while !is_held_up(&direct).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let park = "UPDATE idempotency_records SET status = 'failed', failure = 'indeterminate', size = 0, finished_at = 1 WHERE `key` = ?";
    sqlx::query(park).bind(key).execute(&mut *other).await.unwrap();
    other.commit().await.unwrap();
    let (of_parked, of_other) = both.await.unwrap();
    let Ok(Written::LeaseLost(Lost::Finished(finished))) = of_parked else {
        panic!("it is still there: {of_parked:?}")
    };
    assert_eq!(finished.finish, Finish::Failed(Failure::Indeterminate));
    // Two were to be released and one was: the database does not say which, and the records do.
    assert_eq!(of_other.unwrap(), Written::Done);
}
