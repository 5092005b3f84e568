//! Users of a database who lack a right: each is told so before a body has run.

use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::storage::{
    MySqlStorage, PostgresStorage, SharedStorage, StorageError, StorageErrorKind,
};
use idem_runtime::transaction::TransactionDatabase;
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySql, MySqlPool, PgPool, Postgres};
use testkit::sql::{Product, query};

use crate::docs::rights::LeastRights;
use crate::outbox::stage::{Db, pool};
use crate::stage::in_time;

const RECORDS: &str = "SELECT count(*) FROM idempotency_records";

async fn by_url(user: &LeastRights) -> Result<SharedStorage, StorageError> {
    Ok(match user.product {
        Product::Postgres => SharedStorage::new(PostgresStorage::connect(&user.app).await?),
        Product::MySql => SharedStorage::new(MySqlStorage::connect(&user.app).await?),
    })
}

async fn on_pool(user: &LeastRights) -> SharedStorage {
    match user.product {
        Product::Postgres => {
            SharedStorage::new(PostgresStorage::new(PgPool::connect(&user.app).await.unwrap()))
        }
        Product::MySql => {
            SharedStorage::new(MySqlStorage::new(MySqlPool::connect(&user.app).await.unwrap()))
        }
    }
}

async fn call(storage: &SharedStorage, key: &str, runs: &AtomicUsize) -> Result<usize, Error> {
    let idem = Idempotency::new(storage.clone()).unwrap();
    let body = async { Ok::<_, Error>(runs.fetch_add(1, Ordering::SeqCst)) };
    in_time(idem.operation("charge").key(key).run(body)).await
}

/// A call in the application's own transaction, which is rolled back.
async fn call_within<DB: Db + TransactionDatabase>(
    user: &LeastRights,
    storage: &SharedStorage,
    key: &str,
    runs: &AtomicUsize,
) -> Result<usize, Error> {
    let pool = pool::<DB>(&user.app).await;
    let mut tx = pool.begin().await.unwrap();
    let idem = Idempotency::new(storage.clone()).unwrap();
    let operation = idem.in_transaction(&mut tx).operation("charge").key(key);
    let body = async |_: &mut DB::Connection| Ok::<_, Error>(runs.fetch_add(1, Ordering::SeqCst));
    let result = in_time(operation.run(body)).await;
    tx.rollback().await.unwrap();
    result
}

async fn each_right_that_a_user_lacks_is_named_before_a_body_runs<DB: Db + TransactionDatabase>(
    product: Product,
) {
    let user = LeastRights::on(product).await;
    let runs = AtomicUsize::new(0);
    for (done, right) in ["SELECT", "INSERT", "UPDATE", "DELETE"].into_iter().enumerate() {
        query(&user.admin, &format!("REVOKE {right} ON idempotency_records FROM app")).unwrap();
        match by_url(&user).await {
            Err(error) => {
                assert_eq!(error.kind(), StorageErrorKind::Configuration, "{right}: {error}");
                assert!(error.to_string().contains(right), "{right}: {error}");
            }
            // That it may not write at all, a claim says.
            Ok(storage) => {
                assert_eq!(right, "INSERT");
                let error = call(&storage, right, &runs).await.unwrap_err();
                assert!(error.to_string().contains(right), "{right}: {error}");
            }
        }
        let storage = on_pool(&user).await;
        let error = call_within::<DB>(&user, &storage, right, &runs).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{right}: {error}");
        assert!(error.to_string().contains(right), "{right}: {error}");
        for _ in 0..2 {
            let error = call(&storage, right, &runs).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{right}: {error}");
            assert!(error.to_string().contains(right), "{right}: {error}");
        }
        assert_eq!(runs.load(Ordering::SeqCst), done, "{right}");
        assert_eq!(query(&user.admin, RECORDS).unwrap(), done.to_string(), "{right}");

        query(&user.admin, &format!("GRANT {right} ON idempotency_records TO app")).unwrap();
        assert_eq!(call(&storage, right, &runs).await.unwrap(), done);
        assert_eq!(call(&storage, right, &runs).await.unwrap(), done);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_a_user_of_postgres_lacks_is_named_before_a_body_runs() {
    each_right_that_a_user_lacks_is_named_before_a_body_runs::<Postgres>(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_a_user_of_mysql_lacks_is_named_before_a_body_runs() {
    each_right_that_a_user_lacks_is_named_before_a_body_runs::<MySql>(Product::MySql).await;
}
