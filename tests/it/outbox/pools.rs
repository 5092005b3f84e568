//! What others do with the application's pool holds no relay up.

use std::time::Duration;

use idempotency::outbox::Outbox;
use sqlx::Pool;
use sqlx::pool::{PoolConnection, PoolOptions};

use super::recorder::Recorder;
use super::stage::{Db, Running, Stage, on_every_database, quick};
use crate::stage::{PATIENCE, in_time};

on_every_database!(
    transactions_that_others_left_open_or_aborted_hold_no_lane_up,
    a_pool_that_is_used_up_holds_no_lane_up,
    tools_work_where_others_left_transactions_open,
);

const SIZE: usize = 3;

/// The application's pool, whose sessions begin with this.
async fn app_pool<DB: Db>(stage: &Stage<DB>, hook: &'static str) -> Pool<DB> {
    PoolOptions::<DB>::new()
        .max_connections(u32::try_from(SIZE).unwrap())
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| DB::run(connection, hook.to_owned()))
        .connect(&stage.url)
        .await
        .unwrap()
}

/// All connections of a pool, each inside a transaction of this kind.
async fn leave<DB: Db>(pool: &Pool<DB>, statements: &[&str]) -> Vec<PoolConnection<DB>> {
    let mut taken = Vec::new();
    for _ in 0..SIZE {
        let mut connection = in_time(pool.acquire()).await.unwrap();
        for statement in statements {
            // Some fail, and that is what they are for.
            let _ = DB::run(&mut connection, (*statement).to_owned()).await;
        }
        taken.push(connection);
    }
    taken
}

/// What is enqueued elsewhere is published once, and gone from the table for everybody.
async fn everything_is_published<DB: Db>(stage: &Stage<DB>, outbox: &Outbox<DB>, what: &str) {
    let broker = Recorder::new();
    let relay = Running::start(quick(outbox.relay(broker.clone()).lease(Duration::from_secs(60))));
    for number in 0..6 {
        stage.enqueue("orders", &format!("{what}-{}", number % 2), number).await;
    }
    broker.until(6).await;
    stage.until_rows(0).await;
    relay.stop().await;
    assert_eq!(broker.taken().len(), 6, "{what}");
}

async fn transactions_that_others_left_open_or_aborted_hold_no_lane_up<DB: Db>(stage: Stage<DB>) {
    let pool = app_pool(&stage, "SELECT 1").await;
    let outbox = Outbox::new(pool.clone());
    for (what, left) in [
        ("open", ["BEGIN", "SELECT count(*) FROM idempotency_outbox"]),
        ("aborted", ["BEGIN", "SELECT no_such_column FROM idempotency_outbox"]),
    ] {
        drop(leave(&pool, &left).await);
        everything_is_published(&stage, &outbox, what).await;
    }
}

async fn a_pool_that_is_used_up_holds_no_lane_up<DB: Db>(stage: Stage<DB>) {
    let pool = app_pool(&stage, "SELECT 1").await;
    let outbox = Outbox::new(pool.clone());
    let _taken = leave(&pool, &[]).await;
    everything_is_published(&stage, &outbox, "used up").await;
}

async fn tools_work_where_others_left_transactions_open<DB: Db>(stage: Stage<DB>) {
    let pool = app_pool(&stage, "SELECT 1").await;
    let outbox = Outbox::new(pool.clone());
    let broker = Recorder::that(|_, _| Err(idempotency::outbox::PublishError::permanent("no")));
    let relay = Running::start(quick(outbox.relay(broker)));
    let id = stage.enqueue("orders", "dead", 1).await;
    let dead = async || loop {
        drop(leave(&pool, &["BEGIN"]).await);
        match outbox.dead_letters(10).await.unwrap().pop() {
            Some(letter) => break letter,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(in_time(dead()).await.event.id, id);
    relay.stop().await;
    assert!(outbox.redrive(id).await.unwrap());
    assert_eq!(
        stage.number("SELECT count(*) FROM idempotency_outbox WHERE dead_at IS NULL").await,
        1
    );
    what_was_redriven_goes_out(&stage, &outbox).await;
}

/// What was redriven goes out, and the table is empty for everybody.
async fn what_was_redriven_goes_out<DB: Db>(stage: &Stage<DB>, outbox: &Outbox<DB>) {
    let broker = Recorder::new();
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    broker.until(1).await;
    stage.until_rows(0).await;
    relay.stop().await;
}

/// `autocommit = 0`, and isolation that breaks statements up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_with_other_settings_lose_no_commit() {
    let stage = Stage::<sqlx::MySql>::new().await;
    for hook in ["SET autocommit = 0", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"] {
        let pool = app_pool(&stage, hook).await;
        everything_is_published(&stage, &Outbox::new(pool), hook).await;
    }
    let stage = Stage::<sqlx::Postgres>::new().await;
    for hook in ["SET default_transaction_isolation = serializable", "SET lock_timeout = 1"] {
        let pool = app_pool(&stage, hook).await;
        everything_is_published(&stage, &Outbox::new(pool), hook).await;
    }
}
