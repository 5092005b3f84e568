//! Tables: made by `migrate`, by hand, by nobody, by a newer version.

use idempotency::outbox::{Outbox, OutboxErrorKind};
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use super::stage::{Db, Running, Stage, inside, quick};

macro_rules! on_empty_databases {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Postgres>(super::Stage::without_table().await).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::MySql>(super::Stage::without_table().await).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Sqlite>(super::Stage::without_table().await).await;
            })*
        }
    };
}

on_empty_databases!(
    a_table_that_is_missing_is_named,
    many_may_migrate_at_once_and_again,
    tables_have_the_name_that_was_given,
    the_documented_schema_is_what_is_needed,
    tables_of_a_newer_version_are_refused,
);

async fn a_table_that_is_missing_is_named<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.pool.begin().await.unwrap();
    let refused = stage.outbox.enqueue(inside(&mut tx), "orders", "42", &1).await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::Configuration);
    assert!(refused.to_string().contains("idempotency_outbox does not exist"), "{refused}");
    drop(tx);
    let relay = stage.outbox.relay(Recorder::new());
    let refused = relay.run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::Configuration);
    assert!(refused.to_string().contains("migrate()"), "{refused}");
    let refused = stage.outbox.dead_letters(1).await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::Configuration);
}

async fn many_may_migrate_at_once_and_again<DB: Db>(stage: Stage<DB>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let outbox = stage.elsewhere().await;
        tasks.spawn(async move { outbox.migrate().await });
    }
    for migrated in tasks.join_all().await {
        migrated.unwrap();
    }
    stage.enqueue("orders", "42", 0).await;
    stage.outbox.migrate().await.unwrap();
    assert_eq!(stage.rows().await, 1);
    assert_eq!(stage.number("SELECT count(*) FROM idempotency_outbox_migrations").await, 1);
}

async fn tables_have_the_name_that_was_given<DB: Db>(stage: Stage<DB>) {
    for name in ["", "a b", "1st", "a\"; DROP TABLE users; --", &"a".repeat(49)] {
        let refused = Outbox::builder().table(name).build(stage.pool.clone()).unwrap_err();
        assert_eq!(refused.kind(), OutboxErrorKind::Configuration, "{name}");
    }
    let outbox = Outbox::builder().table("Events_2").max_payload(4).build(stage.pool.clone());
    let outbox = outbox.unwrap();
    outbox.migrate().await.unwrap();
    let mut tx = stage.pool.begin().await.unwrap();
    outbox.enqueue(inside(&mut tx), "orders", "42", &1234).await.unwrap();
    let refused = outbox.enqueue(inside(&mut tx), "orders", "42", &12345).await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::TooLarge);
    tx.commit().await.unwrap();
    let broker = Recorder::new();
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    broker.until(1).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [1234]);
}

async fn the_documented_schema_is_what_is_needed<DB: Db>(stage: Stage<DB>) {
    stage.run(DB::SCHEMA).await;
    stage.enqueue("orders", "42", 7).await;
    let broker = Recorder::new();
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(1).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [7]);
    // Who comes to `migrate()` later loses nothing.
    stage.enqueue("orders", "42", 8).await;
    stage.outbox.migrate().await.unwrap();
    assert_eq!(stage.rows().await, 1);
}

async fn tables_of_a_newer_version_are_refused<DB: Db>(stage: Stage<DB>) {
    stage.outbox.migrate().await.unwrap();
    stage.run("INSERT INTO idempotency_outbox_migrations (version) VALUES (99)").await;
    let refused = stage.outbox.migrate().await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::NewerVersion);
    assert!(refused.to_string().contains("99"), "{refused}");
}
