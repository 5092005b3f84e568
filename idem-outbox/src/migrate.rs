//! Making and upgrading the outbox's table, in the way of the SQL storages: see [`idem_runtime::storage`].
//!
//! Postgres and SQLite do it in one transaction, under a lock that other migrations wait for. MySQL commits at each statement that changes
//! tables, so there the statements may run twice, and a version is noted when all of its statements have run.

use super::database::{DEFAULT_TABLE, Dialect, OutboxDatabase};
use super::error::{OutboxError, OutboxErrorKind};
use super::outbox::Outbox;
use super::store::Shared;
use super::store::explain;
use idem_runtime::internal::spawn;
use idem_runtime::internal::sql::Table;
use idem_runtime::internal::sql::{PATIENCE, Share};
use idem_runtime::internal::sql::{is_up_to_date, pending};

impl<DB: OutboxDatabase> Outbox<DB> {
    /// Makes the table, or upgrades it. It does nothing where it is up to date, and every process may call it at its start.
    ///
    /// Those who run their own migrations take the statements from `POSTGRES_SCHEMA`, `MYSQL_SCHEMA` or `SQLITE_SCHEMA`.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::NewerVersion`] where a newer version of this library has been here, [`OutboxErrorKind::Configuration`] where the
    /// user may not create tables, [`OutboxErrorKind::Database`] where the database cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// It goes on in a task of its own when the future is dropped: a connection must not be left inside a transaction.
    pub async fn migrate(&self) -> Result<(), OutboxError> {
        let shared = self.shared();
        let task = spawn(async move {
            let acquired = shared.connections.acquire_within(Share::Renewals, PATIENCE).await;
            let mut lent = acquired.map_err(|error| explain::<DB>(error, &shared.table))?;
            // It waits for other migrations as long as the session says, and is of no other use afterwards.
            match apply::<DB>(&mut lent.connection, &shared).await {
                Err(error) if error.kind() == OutboxErrorKind::Configuration => {
                    // Whoever may not make tables finds those that are there.
                    let migrations = shared.table.migrations();
                    let applied = version::<DB>(&mut lent.connection, &migrations).await;
                    if is_up_to_date(DB::MIGRATIONS, applied.unwrap_or(None)) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                }
                applied => applied,
            }
        });
        task.await.unwrap_or_else(|error| {
            let message = "the migration was broken off";
            Err(OutboxError::new(OutboxErrorKind::Database, message).with_source(error))
        })
    }
}

async fn apply<DB: Dialect>(
    connection: &mut DB::Connection,
    shared: &Shared<DB>,
) -> Result<(), OutboxError> {
    let fault = |error| explain::<DB>(error, &shared.table);
    let migrations = shared.table.migrations();
    let mut transaction = DB::begin_writing(connection).await.map_err(fault)?;
    if let Some(lock) = DB::lock_migrations(&migrations) {
        DB::run(&mut transaction, lock).await.map_err(fault)?;
    }
    let create = format!("CREATE TABLE IF NOT EXISTS {migrations} ({})", DB::VERSION);
    DB::run(&mut transaction, create).await.map_err(fault)?;
    let applied = version::<DB>(&mut transaction, &migrations).await.map_err(fault)?;
    let newer = |error: idem_runtime::storage::StorageError| {
        OutboxError::new(OutboxErrorKind::NewerVersion, error.to_string())
    };
    for migration in pending(DB::MIGRATIONS, applied).map_err(newer)? {
        DB::run(&mut transaction, adapt(migration.sql, &shared.table)).await.map_err(fault)?;
        let note = DB::note_version(&migrations, migration.version);
        DB::run(&mut transaction, note).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}

/// The version of the table; none where there has been no migration.
async fn version<DB: Dialect>(
    connection: &mut DB::Connection,
    migrations: &str,
) -> sqlx::Result<Option<i64>> {
    // Without `max`, which would be null where there is none.
    let newest = format!("SELECT version FROM {migrations} ORDER BY version DESC LIMIT 1");
    let newest = DB::fetch(connection, newest.into(), Vec::new()).await?;
    newest.first().map(|row| DB::integer(row, 0)).transpose()
}

/// The statements of a `.sql` file for this table instead of the default one.
fn adapt(statements: &str, table: &Table) -> String {
    let indexes = ["lane", "dead"];
    let marked = indexes.iter().enumerate().fold(statements.to_owned(), |text, (number, index)| {
        text.replace(&format!("{DEFAULT_TABLE}_{index}"), &format!("\u{1}{number}"))
    });
    let adapted = marked.replace(DEFAULT_TABLE, &table.records());
    indexes.iter().enumerate().fold(adapted, |text, (number, index)| {
        text.replace(&format!("\u{1}{number}"), &table.index(index))
    })
}
