//! Checks the rights of the database's user before the first body depends on them.
//!
//! A claim of a free key inserts a row. A user who may insert, but not update or delete, would run
//! bodies that lose their leases and leave no result. So a storage first runs every later verb on a
//! key that does not exist: the statements are the real ones, and have nothing to change. It does
//! so once: when it connects, or before the first claim of a storage that is made from a pool.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::sync::{Mutex, oneshot};

use crate::driver;
use crate::storage::{StorageError, StorageErrorKind};

/// Whether the rights have been tried.
#[derive(Debug, Default)]
pub(super) struct Trial {
    is_done: AtomicBool,
    running: Mutex<()>,
}

/// Why a trial was not passed.
pub(super) enum Untried {
    /// The user lacks a right, or the configuration is wrong.
    Refused(StorageError),
    /// There are no tables, or they lack columns: the claim itself reports that.
    NoTables,
    /// The server or the session is read-only: the claim itself reports that.
    ReadOnly,
    /// Try again.
    Transient(StorageError),
}

impl Trial {
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// The verbs were run, and the user has their rights.
    pub(super) fn passed(&self) {
        self.is_done.store(true, Ordering::Release);
    }

    /// Runs `verbs`, unless another caller has done so meanwhile.
    pub(super) async fn run(
        self: &Arc<Self>,
        verbs: impl Future<Output = Result<(), Untried>> + Send + 'static,
    ) -> Result<(), StorageError> {
        let trial = Arc::clone(self);
        let (wanted, _waiting) = oneshot::channel::<()>();
        // On the driver, so that no caller waits for another one whose runtime stands still.
        let running = driver::spawn(async move {
            let _one = trial.running.lock().await;
            // While a database is away many may queue here whose callers are long gone.
            if trial.is_done() || wanted.is_closed() {
                return Ok(());
            }
            match verbs.await {
                Ok(()) => {
                    trial.passed();
                    Ok(())
                }
                Err(Untried::NoTables | Untried::ReadOnly) => Ok(()),
                Err(Untried::Refused(error)) => Err(error),
                Err(Untried::Transient(error)) => Err(not_claimed(error)),
            }
        });
        running.await.unwrap_or_else(|error| {
            let message = "the check of the database user's rights was interrupted";
            Err(StorageError::new(StorageErrorKind::NotApplied, message).with_source(error))
        })
    }
}

/// Whatever the outcome of the trial, its claim was not sent.
fn not_claimed(error: StorageError) -> StorageError {
    if error.kind() != StorageErrorKind::Indeterminate {
        return error;
    }
    let message = "nothing was claimed: the database user's rights could not be checked";
    StorageError::new(StorageErrorKind::NotApplied, message).with_source(error)
}

impl Untried {
    /// What the error of a verb says, which needs this right.
    pub(super) fn of(right: &str, error: StorageError) -> Self {
        match (error.kind(), code(&error).as_str()) {
            // No table, no schema, no database, no column.
            (_, "42P01" | "3F000" | "3D000" | "42703" | "42S02" | "42S22") => Self::NoTables,
            // The whole server or session is read-only. Not every database has a code for that.
            (StorageErrorKind::NotApplied, _) if error.to_string().contains("read-only") => {
                Self::ReadOnly
            }
            (StorageErrorKind::Configuration, _) => Self::Refused(name_right(right, error)),
            _ => Self::Transient(error),
        }
    }
}

/// Names the missing right, where the error is about rights.
pub(super) fn name_right(right: &str, error: StorageError) -> StorageError {
    if !["42501", "42000"].contains(&code(&error).as_str()) {
        return error;
    }
    let text = format!(
        "the database user lacks the right to {right} rows: grant the rights that docs/operating.md lists ({error})"
    );
    error.with_text(text)
}

/// The database's error code, if there is one.
fn code(error: &StorageError) -> String {
    let code = error.client().and_then(Error::as_database_error).and_then(DatabaseError::code);
    code.map(Cow::into_owned).unwrap_or_default()
}
