//! Connections and transactions that can carry a record.

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Transaction};

use super::{Records, TransactionDatabase, Tx};

/// A [`sqlx::Transaction`], the [`Tx`] of a body, or a connection inside one: a
/// [`sqlx::pool::PoolConnection`], [`sqlx::PgConnection`], [`sqlx::MySqlConnection`] or
/// [`sqlx::SqliteConnection`]. It is sealed.
///
/// A connection counts as inside a transaction when sqlx began it: what a statement of the
/// application's own began is not known.
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait TransactionConnection: Sealed + Send {
    /// Its database.
    type Database: TransactionDatabase;

    /// The connection that the transaction is on.
    fn connection(&mut self) -> &mut <Self::Database as Database>::Connection;

    /// Whether there is a transaction.
    fn is_in_transaction(&mut self) -> bool {
        Connection::is_in_transaction(self.connection())
    }
}

trait Sealed {}

impl<DB: Records> Sealed for Transaction<'_, DB> {}

impl<DB: Records> TransactionConnection for Transaction<'_, DB> {
    type Database = DB;

    fn connection(&mut self) -> &mut DB::Connection {
        self
    }
}

impl<DB: TransactionDatabase> Sealed for Tx<DB> {}

impl<DB: TransactionDatabase> TransactionConnection for Tx<DB> {
    type Database = DB;

    fn connection(&mut self) -> &mut DB::Connection {
        self
    }
}

impl<DB: Records> Sealed for PoolConnection<DB> {}

impl<DB: Records> TransactionConnection for PoolConnection<DB> {
    type Database = DB;

    fn connection(&mut self) -> &mut DB::Connection {
        self
    }
}

macro_rules! connections {
    ($($feature:literal: $connection:ty, $database:ty;)*) => {
        $(
            #[cfg(feature = $feature)]
            impl Sealed for $connection {}

            #[cfg(feature = $feature)]
            impl TransactionConnection for $connection {
                type Database = $database;

                fn connection(&mut self) -> &mut Self {
                    self
                }
            }
        )*
    };
}

connections! {
    "postgres": sqlx::PgConnection, sqlx::Postgres;
    "mysql": sqlx::MySqlConnection, sqlx::MySql;
    "sqlite": sqlx::SqliteConnection, sqlx::Sqlite;
}
