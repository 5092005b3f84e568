//! Users of the outbox who lack a right: told so before anything is published.

use idempotency::outbox::{Outbox, OutboxErrorKind};
use sqlx::{MySql, Postgres};
use testkit::sql::{Product, query};

use super::recorder::Recorder;
use super::stage::{Db, Running, pool, quick};
use crate::docs::rights::LeastRights;
use crate::stage::in_time;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_a_relay_lacks_is_named_before_it_publishes_on_postgres() {
    each_right_that_a_relay_lacks_is_named::<Postgres>(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_a_relay_lacks_is_named_before_it_publishes_on_mysql() {
    each_right_that_a_relay_lacks_is_named::<MySql>(Product::MySql).await;
}

async fn each_right_that_a_relay_lacks_is_named<DB: Db>(product: Product) {
    let user = LeastRights::on(product).await;
    let outbox = Outbox::new(pool::<DB>(&user.app).await);
    let enqueue = async || {
        let pool = pool::<DB>(&user.app).await;
        let mut tx = pool.begin().await.unwrap();
        let enqueued = outbox.enqueue(&mut tx, "orders", "42", &1).await;
        tx.commit().await.unwrap();
        enqueued
    };
    enqueue().await.unwrap();
    let broker = Recorder::new();
    for right in ["SELECT", "UPDATE", "DELETE"] {
        query(&user.admin, &format!("REVOKE {right} ON idempotency_outbox FROM app")).unwrap();
        let relay = Running::start(quick(outbox.relay(broker.clone())));
        let error = in_time(relay.task).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), OutboxErrorKind::Configuration, "{right}: {error}");
        if right != "SELECT" {
            assert!(error.to_string().contains(right), "{right}: {error}");
        }
        assert_eq!(broker.taken().len(), 0, "{right}");
        query(&user.admin, &format!("GRANT {right} ON idempotency_outbox TO app")).unwrap();
    }
    query(&user.admin, "REVOKE INSERT ON idempotency_outbox FROM app").unwrap();
    let error = enqueue().await.unwrap_err();
    assert_eq!(error.kind(), OutboxErrorKind::Configuration, "{error}");
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    in_time(broker.until(1)).await;
    relay.stop().await;
}
