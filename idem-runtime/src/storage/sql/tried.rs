//! What a user of the database has to be allowed, tried before the first body depends on it.
//!
//! A claim of a free key inserts a row, which a user may be allowed who may not change or remove one. Such a user's bodies would run, lose
//! their leases and leave no result. So a storage first makes every verb that comes after a claim on a key that nobody has: the statements
//! are the real ones, and there is nothing for them to change. It does so once: when it connects, or before the first claim of one that is
//! made from a pool.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::sync::{Mutex, oneshot};

use super::grouped::{Database, Grouped};
use crate::driver;
use crate::key::RecordKey;
use crate::record::{Failure, Finish, OwnerId};
use crate::storage::{Complete, Release, Renew, StorageError, StorageErrorKind};

/// What a trial needs of a database, beside its verbs.
pub(super) trait Removes: Send + Sync + 'static {
    /// Whether the database has users, who may do one thing and not another.
    const HAS_RIGHTS: bool;

    /// Removes the row of this key if it has expired.
    fn remove_expired(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Whether the rights have been tried.
#[derive(Debug, Default)]
pub(super) struct Tried {
    is_done: AtomicBool,
    trying: Mutex<()>,
}

/// Why a trial was not passed.
enum Failed {
    /// The user lacks a right, or somebody has to change something else.
    Refused(StorageError),
    /// There are no tables yet, or nobody may write at the moment: the claim itself will say so.
    Undecided,
    /// It has to be tried again.
    Passing(StorageError),
}

impl<B: Database> Grouped<B> {
    /// Tries the rights, unless that has been done.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where the user lacks a right, which the text names; and those of verbs.
    pub(super) async fn try_rights(self: &Arc<Self>) -> Result<(), StorageError> {
        if !B::HAS_RIGHTS || self.tried.is_done.load(Ordering::Acquire) {
            return Ok(());
        }
        let grouped = Arc::clone(self);
        let (wanted, _waiting) = oneshot::channel::<()>();
        // On the driver, so that nobody waits for a caller who stands still.
        let trial = driver::spawn(async move {
            let _one = grouped.tried.trying.lock().await;
            // While a database is away there may be many behind one another, whose callers have long gone.
            if grouped.tried.is_done.load(Ordering::Acquire) || wanted.is_closed() {
                return Ok(());
            }
            match grouped.make_verbs().await {
                Ok(()) => {
                    grouped.tried.is_done.store(true, Ordering::Release);
                    Ok(())
                }
                Err(Failed::Undecided) => Ok(()),
                Err(Failed::Refused(error)) => Err(error),
                Err(Failed::Passing(error)) => Err(untried(error)),
            }
        });
        trial.await.unwrap_or_else(|error| {
            let message = "the rights of the database's user were not tried to the end";
            Err(StorageError::new(StorageErrorKind::NotApplied, message).with_source(error))
        })
    }

    /// Makes each verb that comes after a claim, on a key that nobody has.
    async fn make_verbs(&self) -> Result<(), Failed> {
        let owner = OwnerId::random();
        let key = RecordKey::from_stored(format!("probe:{}", OwnerId::random()));
        let finish = Finish::Failed(Failure::Unserializable);
        let (renew, release) =
            (Renew { key: key.clone(), owner }, Release { key: key.clone(), owner });
        let complete = Complete { key: key.clone(), owner, finish, ttl: Duration::ZERO };

        let renewed = self.renew(&[renew]).await.into_iter().collect::<Result<Vec<_>, _>>();
        renewed.map_err(|error| failed("SELECT and UPDATE", error))?;
        self.complete(&complete).await.map_err(|error| failed("UPDATE", error))?;
        self.release(&release).await.map_err(|error| failed("UPDATE and DELETE", error))?;
        let removed = self.backend.remove_expired(&key).await;
        removed.map_err(|error| failed("DELETE", error))
    }
}

/// Whatever became of the trial, the claim that it was for has not been sent.
fn untried(error: StorageError) -> StorageError {
    if error.kind() != StorageErrorKind::Indeterminate {
        return error;
    }
    let message = "nothing was claimed: the rights of the user could not be tried";
    StorageError::new(StorageErrorKind::NotApplied, message).with_source(error)
}

fn failed(right: &str, error: StorageError) -> Failed {
    match (error.kind(), code(&error).as_str()) {
        // No table, no schema, no database, no column.
        (_, "42P01" | "3F000" | "3D000" | "42703" | "42S02" | "42S22") => Failed::Undecided,
        // Nobody may write. Not every database has a code for it.
        (StorageErrorKind::NotApplied, _) if error.to_string().contains("read-only") => {
            Failed::Undecided
        }
        (StorageErrorKind::Configuration, _) => Failed::Refused(name_right(right, error)),
        _ => Failed::Passing(error),
    }
}

/// Says which right is missing, where it is a right.
pub(super) fn name_right(right: &str, error: StorageError) -> StorageError {
    if !["42501", "42000"].contains(&code(&error).as_str()) {
        return error;
    }
    let text = format!(
        "the storage needs the right to {right} rows, and this user does not have it: grant what docs/operating.md lists ({error})"
    );
    error.with_text(text)
}

/// The code that the database gave, if the error is the database's.
fn code(error: &StorageError) -> String {
    let code = error.client().and_then(Error::as_database_error).and_then(DatabaseError::code);
    code.map(Cow::into_owned).unwrap_or_default()
}
