//! The storage over any of the databases.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connections::on_driver;
use super::database::{Purged, SqlBackend, SqlDatabase};
use super::group::VerbBatcher;
use super::migrate::{self, ListedVersion, MAX_MIGRATION, MigrationError};
use super::trial::{Trial, Untried, name_right};
use super::wakeups::SqlWakeups;
use super::{janitor, row};
use crate::key::RecordKey;
use crate::record::{Failure, Finish, OwnerId, Record};
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, StorageWarning,
    Wakeup, Written,
};

/// Records in a SQL database: use it as `PostgresStorage`, `MySqlStorage` or `SqliteStorage`.
///
/// Clones share its connections and its batches. See the [module](super).
#[expect(private_bounds, reason = "the databases are those that this library knows")]
pub struct SqlStorage<DB: SqlDatabase>(Arc<SqlCore<DB::Backend>>);

struct SqlCore<B: SqlBackend> {
    backend: Arc<B>,
    claims: VerbBatcher<Claim, B>,
    renewals: VerbBatcher<Renew, B>,
    completions: VerbBatcher<Complete, B>,
    releases: VerbBatcher<Release, B>,
    wakeups: SqlWakeups,
    trial: Arc<Trial>,
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: SqlDatabase> SqlStorage<DB> {
    pub(super) fn from_backend(backend: DB::Backend) -> Self {
        let (limit, backend) = (backend.limit(), Arc::new(backend));
        Self(Arc::new(SqlCore {
            claims: VerbBatcher::new(&backend, DB::Backend::LANES, limit),
            renewals: VerbBatcher::new(&backend, 1, limit),
            completions: VerbBatcher::new(&backend, DB::Backend::LANES, limit),
            releases: VerbBatcher::new(&backend, 1, limit),
            backend,
            wakeups: SqlWakeups::new(),
            trial: Arc::default(),
        }))
    }

    pub(super) fn backend(&self) -> &Arc<DB::Backend> {
        &self.0.backend
    }

    /// Makes the tables, or upgrades them. It does nothing where they are up to date, and every
    /// process may call it at its start. [`connect`](Self::connect) does so by itself.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](crate::storage::StorageErrorKind::NewerVersion) where a newer version of
    /// this library has upgraded them,
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where the user may not
    /// create tables, or a SQLite file is read-only;
    /// [`NotApplied`](crate::storage::StorageErrorKind::NotApplied) where a server is read-only
    /// now.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let backend = Arc::clone(self.backend());
        let migrating = async move {
            let mut lent = backend.acquire().await?;
            let (connection, table) = (&mut lent.connection, backend.table());
            let migrated = migrate::migrate::<DB>(connection, table, DB::Backend::MIGRATIONS);
            let explain = |error| backend.explain_migration(error);
            migrated.await.map_err(|error| migrate::explain(error, explain))?;
            lent.give_back();
            Ok(())
        };
        on_driver(MAX_MIGRATION, migrating).await
    }

    /// Makes the tables where a storage that connects lacks them: see [`migrate`]. Rights are tried
    /// on tables that exist. A user who makes them may lack the rights of verbs, and the first
    /// claim tries those.
    pub(super) async fn ensure_tables(&self) -> Result<(), StorageError> {
        let listed = self.on_driver(async move |backend: Arc<DB::Backend>| {
            let mut lent = backend.acquire().await?;
            let (connection, table) = (&mut lent.connection, backend.table());
            let listed = migrate::listed::<DB>(connection, table, DB::Backend::MIGRATIONS);
            let listed = listed.await.map_err(|error| backend.explain_migration(error))?;
            // The refusal may have been the connection's last answer.
            if listed != ListedVersion::Unlisted {
                lent.give_back();
            }
            Ok(listed)
        });
        let newer = match listed.await? {
            ListedVersion::UpToDate => return self.try_rights().await,
            ListedVersion::Older => return self.migrate().await,
            ListedVersion::Newer(applied) => Some(MigrationError::NewerVersion(applied)),
            ListedVersion::Unlisted => None,
        };
        match self.try_tables().await {
            // The tables work as they are, or nothing can be made here.
            Ok(()) | Err(Untried::ReadOnly) => Ok(()),
            Err(Untried::Refused(error)) if DB::Backend::HAS_RIGHTS => Err(error),
            Err(Untried::Transient(error)) => Err(error),
            Err(Untried::NoTables | Untried::Refused(_)) => match newer {
                Some(newer) => {
                    Err(migrate::explain(newer, |error| self.backend().explain_migration(error)))
                }
                None => self.migrate().await,
            },
        }
    }

    /// Logs the settings under which records can be lost.
    pub(super) async fn log_warnings(&self) -> Result<(), StorageError> {
        for warning in self.warnings().await? {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// Reads, which finds missing tables whatever other rights the user lacks, and tries the
    /// rights.
    async fn try_tables(&self) -> Result<(), Untried> {
        let key = RecordKey::from_stored(format!("probe:{}", OwnerId::random()));
        self.load(&key).await.map_err(|error| Untried::of("SELECT", error))?;
        if DB::Backend::HAS_RIGHTS {
            self.make_verbs().await?;
            self.0.trial.passed();
        }
        Ok(())
    }

    /// Removes expired records every `every`, until `stop` is cancelled; see
    /// [`purge`](Storage::purge). Several processes may do so.
    pub fn spawn_janitor(&self, every: Duration, stop: CancellationToken) -> JoinHandle<()> {
        janitor::spawn(self.clone(), every, stop)
    }

    /// Tries the rights of the database's user, unless that has been done.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where the user lacks a
    /// right, which the text names; and those of verbs.
    pub(super) async fn try_rights(&self) -> Result<(), StorageError> {
        if !DB::Backend::HAS_RIGHTS || self.0.trial.is_done() {
            return Ok(());
        }
        let storage = self.clone();
        self.0.trial.run(async move { storage.make_verbs().await }).await
    }

    /// Makes each verb that comes after a claim, on a key that nobody has.
    async fn make_verbs(&self) -> Result<(), Untried> {
        let owner = OwnerId::random();
        let key = RecordKey::from_stored(format!("probe:{}", OwnerId::random()));
        let finish = Finish::Failed(Failure::Unserializable);
        let (renew, release) =
            (Renew { key: key.clone(), owner }, Release { key: key.clone(), owner });
        let complete = Complete { key: key.clone(), owner, finish, ttl: Duration::ZERO };

        let renewed = self.renew(&[renew]).await.into_iter().collect::<Result<Vec<_>, _>>();
        renewed.map_err(|error| Untried::of("SELECT and UPDATE", error))?;
        self.complete(&complete).await.map_err(|error| Untried::of("UPDATE", error))?;
        self.release(&release).await.map_err(|error| Untried::of("UPDATE and DELETE", error))?;
        let removed = self.backend().try_to_remove(&key).await;
        removed.map_err(|error| Untried::of("DELETE", error))
    }

    /// Runs `work` on the driver, on connections of the storage's own.
    pub(super) async fn on_driver<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(Arc<DB::Backend>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>> + Send + 'static,
    {
        on_driver(self.backend().limit(), work(Arc::clone(self.backend()))).await
    }
}

impl<DB: SqlDatabase> Storage for SqlStorage<DB> {
    fn backend(&self) -> &'static str {
        DB::BACKEND
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.try_rights().await?;
        let claimed = self.0.claims.send(claim.clone()).await;
        claimed.map_err(|error| name_right("INSERT", error))
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.0.renewals.send_all(renewals.iter().cloned()).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let written = self.0.completions.send(complete.clone()).await?;
        self.0.wakeups.wake(&complete.key);
        Ok(written)
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let written = self.0.releases.send(release.clone()).await?;
        self.0.wakeups.wake(&release.key);
        Ok(written)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let key = key.clone();
        self.on_driver(async move |backend: Arc<DB::Backend>| backend.load(&key).await).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let mut removed = 0;
        while removed < limit as u64 {
            let left = usize::try_from(limit as u64 - removed).unwrap_or(usize::MAX);
            let batch = left.min(DB::Backend::PURGE_BATCH);
            let purge = async move |backend: Arc<DB::Backend>| backend.purge(batch).await;
            let Purged { found, removed: now_removed } = self.on_driver(purge).await?;
            removed += now_removed;
            if found < batch {
                break;
            }
        }
        Ok(removed)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let after = after.map_or("", |Cursor(key)| key).to_owned();
        let limit = limit.clamp(1, row::MAX_PAGE);
        let scan = async move |backend: Arc<DB::Backend>| backend.scan(&after, limit).await;
        self.on_driver(scan).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.wakeups.watch(&self.0.backend, key)))
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        self.on_driver(async move |backend: Arc<DB::Backend>| backend.warnings().await).await
    }
}

impl<DB: SqlDatabase> Clone for SqlStorage<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlStorage<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStorage")
            .field("database", &DB::BACKEND)
            .field("table", self.backend().table())
            .finish_non_exhaustive()
    }
}
