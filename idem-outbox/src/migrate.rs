//! Making and upgrading the outbox's table, by the migrator of the SQL storages.

use idem_runtime::internal::spawn;
use idem_runtime::internal::sql::{MigrationError, PATIENCE, Share, migrate, newer_version};

use super::database::OutboxDatabase;
use super::error::{OutboxError, OutboxErrorKind};
use super::outbox::Outbox;
use super::store::explain;

impl<DB: OutboxDatabase> Outbox<DB> {
    /// Makes the table, or upgrades it. It does nothing where the table is up to date, and every
    /// process may call it at its start.
    ///
    /// Applications with a migrator of their own take the statements from `POSTGRES_SCHEMA`,
    /// `MYSQL_SCHEMA` or `SQLITE_SCHEMA`.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::NewerVersion`] where a newer version of this library has upgraded the
    /// table, [`OutboxErrorKind::Configuration`] where the user may not create tables,
    /// [`OutboxErrorKind::Database`] where the database cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// It continues in a task of its own when the future is dropped.
    pub async fn migrate(&self) -> Result<(), OutboxError> {
        let shared = self.shared();
        let task = spawn(async move {
            let explain = |error| explain::<DB>(error, &shared.table);
            let acquired = shared.connections.acquire_within(Share::Renewals, PATIENCE).await;
            let mut lent = acquired.map_err(explain)?;
            if lent.is_new {
                DB::prepare(&mut lent.connection).await.map_err(explain)?;
            }
            let migrated = migrate::<DB>(&mut lent.connection, &shared.table, DB::MIGRATIONS).await;
            migrated.map_err(|error| match error {
                MigrationError::Statement(error) => explain(error),
                MigrationError::NewerVersion(applied) => {
                    OutboxError::new(OutboxErrorKind::NewerVersion, newer_version(applied))
                }
            })?;
            lent.give_back();
            Ok(())
        });
        task.await.unwrap_or_else(|error| {
            let message = "the migration was interrupted; call `migrate()` again";
            Err(OutboxError::new(OutboxErrorKind::Database, message).with_source(error))
        })
    }
}
