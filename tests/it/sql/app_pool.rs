//! The application's own pool, whichever database it is of.

use std::any::Any;
use std::time::Duration;

use idem_runtime::Idempotency;
use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};

use super::own::{Database, Kind};
use crate::stage::{PATIENCE, in_time};

/// A pool.
#[derive(Clone)]
pub(super) enum AppPool {
    Postgres(PgPool),
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// Runs the same on whichever pool it is.
macro_rules! on_it {
    ($self:expr, $pool:ident => $work:expr) => {
        match $self {
            AppPool::Postgres($pool) => $work,
            AppPool::MySql($pool) => $work,
            AppPool::Sqlite($pool) => $work,
        }
    };
}

impl AppPool {
    pub(super) async fn connect(database: &Database, size: u32) -> Self {
        Self::with_hook(database, size, "SELECT 1").await
    }

    /// Each of its connections begins with these statements.
    pub(super) async fn with_hook(
        Database { kind, url, .. }: &Database,
        size: u32,
        hook: &'static str,
    ) -> Self {
        macro_rules! pool {
            ($options:ty) => {
                <$options>::new().max_connections(size).acquire_timeout(PATIENCE).after_connect(
                    move |connection, _| {
                        Box::pin(
                            async move { sqlx::raw_sql(hook).execute(connection).await.map(drop) },
                        )
                    },
                )
            };
        }
        let connected = async {
            match kind {
                Kind::Postgres => pool!(PgPoolOptions).connect(url).await.map(Self::Postgres),
                Kind::MySql => pool!(MySqlPoolOptions).connect(url).await.map(Self::MySql),
                Kind::Sqlite => {
                    let options: SqliteConnectOptions = url.parse().unwrap();
                    let pool = pool!(SqlitePoolOptions).connect_with(options);
                    pool.await.map(Self::Sqlite)
                }
            }
        };
        in_time(connected).await.unwrap()
    }

    /// A storage beside it.
    pub(super) fn storage(&self) -> SharedStorage {
        match self.clone() {
            Self::Postgres(pool) => SharedStorage::new(PostgresStorage::new(pool)),
            Self::MySql(pool) => SharedStorage::new(MySqlStorage::new(pool)),
            Self::Sqlite(pool) => SharedStorage::new(SqliteStorage::new(pool)),
        }
    }

    pub(super) fn handle(&self) -> Idempotency {
        Idempotency::new(self.storage()).unwrap()
    }

    /// One of its connections, taken until this is dropped.
    pub(super) async fn take(&self) -> Box<dyn Any + Send> {
        on_it!(self, pool => Box::new(in_time(pool.acquire()).await.unwrap()))
    }

    /// Takes a connection for as long as `holding` takes.
    pub(super) async fn hold<T>(&self, holding: impl Future<Output = T>) -> T {
        let taken = self.take().await;
        let held = holding.await;
        drop(taken);
        held
    }

    /// Begins a transaction, and gives it up where it has not begun by then.
    pub(super) async fn give_up_beginning(&self, after: Duration) {
        on_it!(self, pool => drop(tokio::time::timeout(after, pool.begin()).await));
    }

    /// Sends statements on each of its connections, fail or not, and gives the connections back as they are then.
    pub(super) async fn leave(&self, size: u32, statements: &[&str]) {
        on_it!(self, pool => {
            let mut taken = Vec::new();
            for _ in 0..size {
                let mut connection = in_time(pool.acquire()).await.unwrap();
                for statement in statements {
                    let sent = sqlx::raw_sql(AssertSqlSafe((*statement).to_owned()));
                    let _ = sent.execute(&mut *connection).await;
                }
                taken.push(connection);
            }
        });
    }
}
