//! A service that changes its database and tells others about it, in one transaction.

use std::path::Path;

use idempotency::outbox::{Outbox, Publisher, Relay};
use idempotency::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
};
use idempotency::sqlx::{self, Sqlite, SqliteConnection};
use serde::{Deserialize, Serialize};

use crate::say;

/// The stream of all events about orders.
pub(crate) const TOPIC: &str = "orders";

/// What others learn about an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrderChanged {
    pub(crate) goods: String,
    pub(crate) version: u32,
}

pub(crate) struct Shop {
    pool: SqlitePool,
    outbox: Outbox<Sqlite>,
}

impl Shop {
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, goods TEXT, version INTEGER)",
        )
        .execute(&pool)
        .await?;
        let outbox = Outbox::new(pool.clone());
        outbox.migrate().await?;
        Ok(Self { pool, outbox })
    }

    pub(crate) fn pool(&self) -> SqlitePool {
        self.pool.clone()
    }

    pub(crate) fn outbox(&self) -> &Outbox<Sqlite> {
        &self.outbox
    }

    /// A relay as a service would have it.
    pub(crate) fn relay<P: Publisher>(&self, publisher: P) -> Relay<Sqlite, P> {
        self.outbox.relay(publisher)
    }

    /// Events that wait for a relay.
    pub(crate) async fn waiting(&self) -> anyhow::Result<i64> {
        let waiting = "SELECT count(*) FROM idempotency_outbox WHERE dead_at IS NULL";
        Ok(sqlx::query_scalar(waiting).fetch_one(&self.pool).await?)
    }

    /// Places an order and returns its number.
    pub(crate) async fn place(&self, goods: &str) -> anyhow::Result<String> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let order = self.insert(&mut tx, goods).await?;
        tx.commit().await?;
        say(&format!("order {order}, {goods}: committed"));
        Ok(order)
    }

    /// Places an order that comes to nothing.
    pub(crate) async fn place_and_fail(&self, goods: &str) -> anyhow::Result<()> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let order = self.insert(&mut tx, goods).await?;
        tx.rollback().await?;
        say(&format!("order {order}, {goods}: rolled back, and its event with it"));
        Ok(())
    }

    async fn insert(&self, tx: &mut SqliteConnection, goods: &str) -> anyhow::Result<String> {
        let order = format!("{:06x}", fastrand::u32(..1 << 24));
        sqlx::query("INSERT INTO orders (id, goods, version) VALUES (?, ?, 1)")
            .bind(&order)
            .bind(goods)
            .execute(&mut *tx)
            .await?;
        let event = OrderChanged { goods: goods.to_owned(), version: 1 };
        // The order is the key: what happens to one order is published in its order.
        self.outbox.enqueue(tx, TOPIC, &order, &event).await?;
        Ok(order)
    }

    /// Changes an order.
    pub(crate) async fn change(&self, order: &str) -> anyhow::Result<()> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let changed =
            "UPDATE orders SET version = version + 1 WHERE id = ? RETURNING goods, version";
        let (goods, version) = sqlx::query_as(changed).bind(order).fetch_one(&mut *tx).await?;
        self.outbox.enqueue(&mut tx, TOPIC, order, &OrderChanged { goods, version }).await?;
        tx.commit().await?;
        Ok(())
    }
}
