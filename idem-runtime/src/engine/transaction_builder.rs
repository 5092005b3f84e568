//! A whole transaction of the application: begin, body, commit, and a retry if it had no effect.
//!
//! ```text
//! begin ──► body ──► commit ──► the value
//!   │         │ error   │ error
//!   │     roll back     │
//!   └────◄────┴────◄────┘  retry after a pause, if `retry.rs` allows it
//! ```
//!
//! A commit whose outcome is unknown is not retried: the body may have other effects than its
//! idempotent call, and they would happen twice.

use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;
use sqlx::{Connection as _, Pool, Transaction};

use super::handle::Idempotency;
use super::retry::BodyError;
use super::transaction::storage_of;
use crate::error::{Error, ErrorKind};
use crate::storage::sql::transaction::{
    Again, BeforeCommit, Isolation, Lender, TransactionDatabase, Tx,
};
use crate::sync::time::{sleep, timeout};

/// The default number of attempts; their pauses are about two seconds in all.
const ATTEMPTS: u32 = 10;

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The settings of a transaction: isolation and attempts. From [`Idempotency::build_transaction`].
#[must_use = "nothing happens until a body is run"]
pub struct TransactionBuilder<'p, DB: TransactionDatabase> {
    idem: Idempotency,
    pool: &'p Pool<DB>,
    isolation: Option<Isolation>,
    attempts: u32,
}

impl Idempotency {
    /// Runs `body` in a transaction of its own: begins it on `pool`, commits it with
    /// [`commit`](Self::commit) if the body succeeds, rolls it back if it fails, and retries it if
    /// the database aborted it. The body makes its idempotent calls in that transaction, and they
    /// commit with its other writes.
    ///
    /// `pool` is the application's, on the database of this handle's storage.
    ///
    /// ```no_run
    /// # use idem_runtime::Error;
    /// # #[derive(Debug)] enum BankError { Database(sqlx::Error), Idempotency(Error) }
    /// # impl std::fmt::Display for BankError {
    /// #     fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) }
    /// # }
    /// # impl std::error::Error for BankError {
    /// #     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
    /// #         match self { Self::Database(error) => Some(error), Self::Idempotency(error) => Some(error) }
    /// #     }
    /// # }
    /// # impl From<sqlx::Error> for BankError { fn from(error: sqlx::Error) -> Self { Self::Database(error) } }
    /// # impl From<Error> for BankError { fn from(error: Error) -> Self { Self::Idempotency(error) } }
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx::PgPool, idem: idem_runtime::Idempotency) -> Result<(), BankError> {
    /// let balance: i64 = idem
    ///     .transaction(&pool, async |mut tx| {
    ///         let deposit = idem.in_transaction(&mut tx).operation("deposit").key("deposit:42");
    ///         deposit
    ///             .run(async |tx| {
    ///                 let update = "UPDATE accounts SET balance = balance + 100 RETURNING balance";
    ///                 Ok::<i64, BankError>(sqlx::query_scalar(update).fetch_one(tx).await?)
    ///             })
    ///             .await
    ///     })
    ///     .await?;
    /// # let _ = balance;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The error is the application's own, `From<sqlx::Error>` and `From<idempotency::Error>`. The
    /// cause is searched in it and in its [`source`](std::error::Error::source)s. So it is a
    /// [`std::error::Error`] that returns them, as `thiserror`'s `#[from]` does, or a box of one:
    /// `Box<dyn Error + Send + Sync>`, `anyhow::Error`.
    ///
    /// | what an attempt ended with | what follows |
    /// |---|---|
    /// | a value, and a commit, also one whose lost reply [`commit`](Self::commit) has resolved | the value |
    /// | a serialization failure, a deadlock, a lock that was not had in time (MySQL, MariaDB, SQLite) | again |
    /// | another transaction or runner that has the key: [`AlreadyProcessing`](ErrorKind::AlreadyProcessing) | again, in a new transaction, which replays once the other has ended |
    /// | the transaction's connection broke in the body | again |
    /// | a commit that certainly did not happen, of a [retryable](Error::is_retryable) kind | again |
    /// | a commit whose outcome is unknown: [`Indeterminate`](ErrorKind::Indeterminate); on MySQL and MariaDB also a connection that broke between body and commit | the error. Call again: the idempotent call replays if the transaction was committed |
    /// | any other error of the body's | the error, rolled back: nothing is recorded of it |
    /// | a panic in the body | rolled back, and the panic goes on |
    ///
    /// There are ten attempts at most, with pauses of 5 milliseconds to half a second between them,
    /// about two seconds in all; then the last error is returned.
    /// [`build_transaction`](Self::build_transaction) sets the attempts and the isolation level.
    ///
    /// The body is a closure that returns a future, and may borrow from its surroundings. State
    /// that it changes there has to be behind a lock or an atomic, since its future cannot borrow
    /// from the closure itself; with `async move`, let it move references.
    ///
    /// **The body may run several times**, and each time but one is rolled back: effects outside of
    /// the transaction happen again. It leaves the transaction open, without `COMMIT` or `ROLLBACK`
    /// of its own and, on MySQL and MariaDB, without statements that commit implicitly (`CREATE`,
    /// `ALTER`, `TRUNCATE`, `LOCK TABLES`), and returns its first error of the database.
    ///
    /// # Errors
    ///
    /// The body's own; `E::from` an [`sqlx::Error`] if no transaction could be begun; `E::from` an
    /// [`Error`] of a commit, or [`Configuration`](ErrorKind::Configuration) if the handle's
    /// storage is on another kind of database.
    ///
    /// # Cancel safety
    ///
    /// Before the commit has begun, dropping the future rolls the transaction back: nothing has
    /// happened. During the commit the database decides; call again with the same key to find out.
    /// On MySQL and MariaDB, sqlx 0.9 leaves a connection unusable that is dropped while a
    /// statement of the body is being prepared; `docs/exactly-once.md` says what to do.
    pub async fn transaction<DB, T, E, K, F>(
        &self,
        pool: &Pool<DB>,
        body: impl FnMut(Tx<DB>) -> F,
    ) -> Result<T, E>
    where
        DB: TransactionDatabase,
        E: From<sqlx::Error> + From<Error> + BodyError<K>,
        F: Future<Output = Result<T, E>>,
    {
        self.build_transaction(pool).run(body).await
    }

    /// Like [`transaction`](Self::transaction), with settings.
    ///
    /// ```no_run
    /// # use idem_runtime as idempotency;
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx::PgPool, idem: idem_runtime::Idempotency) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// use idempotency::transaction::Isolation;
    ///
    /// let rows: i64 = idem
    ///     .build_transaction(&pool)
    ///     .isolation(Isolation::Serializable)
    ///     .attempts(20)
    ///     .run(async |mut tx| {
    ///         let count = sqlx::query_scalar("SELECT count(*) FROM accounts").fetch_one(&mut **tx);
    ///         Ok::<i64, Box<dyn std::error::Error + Send + Sync>>(count.await?)
    ///     })
    ///     .await?;
    /// # let _ = rows;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build_transaction<'p, DB: TransactionDatabase>(
        &self,
        pool: &'p Pool<DB>,
    ) -> TransactionBuilder<'p, DB> {
        TransactionBuilder { idem: self.clone(), pool, isolation: None, attempts: ATTEMPTS }
    }
}

impl<DB: TransactionDatabase> TransactionBuilder<'_, DB> {
    /// The isolation level. Default: that of the database, the role or the session.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// The maximum number of times that the body runs. Default: 10. With 1 there is no retry.
    pub fn attempts(mut self, most: u32) -> Self {
        self.attempts = most;
        self
    }

    /// Runs the body: see [`Idempotency::transaction`].
    ///
    /// # Errors
    ///
    /// As [`Idempotency::transaction`], and [`Configuration`](ErrorKind::Configuration) for zero
    /// attempts.
    ///
    /// # Cancel safety
    ///
    /// As [`Idempotency::transaction`].
    pub async fn run<T, E, K, F>(self, mut body: impl FnMut(Tx<DB>) -> F) -> Result<T, E>
    where
        E: From<sqlx::Error> + From<Error> + BodyError<K>,
        F: Future<Output = Result<T, E>>,
    {
        let Some(retries) = self.attempts.checked_sub(1) else {
            let text = "a transaction of zero attempts never runs its body";
            return Err(Error::new(ErrorKind::Configuration, text).into());
        };
        let mut pauses = pauses(retries);
        loop {
            let (error, again) = match self.attempt(&mut body).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            match pauses.next().filter(|_| again != Again::Never) {
                Some(pause) => {
                    tracing::debug!(database = DB::BACKEND, reason = ?again, "retrying a transaction");
                    sleep(pause).await;
                }
                None => return Err(error),
            }
        }
    }

    /// Runs the body in one transaction.
    async fn attempt<T, E, K, F>(&self, body: &mut impl FnMut(Tx<DB>) -> F) -> Result<T, (E, Again)>
    where
        E: From<sqlx::Error> + From<Error> + BodyError<K>,
        F: Future<Output = Result<T, E>>,
    {
        let idem = &self.idem;
        storage_of::<DB>(&idem.0).map_err(|error| (error.into(), Again::Never))?;
        let begun = self.pool.begin_with(DB::begin(self.isolation)).await;
        let lender = Lender::new(begun.map_err(|error| {
            let again = Again::of_sqlx::<DB>(&error);
            (error.into(), again)
        })?);
        let lent = lender.lend().await;
        let ran = AssertUnwindSafe(async { body(lent).await }).catch_unwind().await;
        let Some(mut transaction) = lender.take_back() else {
            return ran.unwrap_or_else(|panic| resume_unwind(panic)).and_then(|_| {
                let text = "the body keeps its transaction after it has returned, so it cannot be committed: it is rolled back when it is dropped";
                Err(Error::new(ErrorKind::Configuration, text).into())
            }).map_err(|error| (error, Again::Never));
        };
        match ran {
            Ok(Ok(value)) => match idem.commit(transaction).await {
                Ok(()) => Ok(value),
                Err(error) => {
                    let again = Again::of_library::<DB>(&error);
                    Err((error.into(), again))
                }
            },
            Ok(Err(error)) => {
                let again = match Again::of_body::<DB>(error.as_error()) {
                    Again::IfLost if self.is_alive(&mut transaction).await => Again::Never,
                    Again::IfLost => Again::AfterLoss,
                    again if self.has_ended(&mut transaction, again).await => Again::Never,
                    again => again,
                };
                self.idem.rollback(transaction).await;
                Err((error, again))
            }
            Err(panic) => {
                self.idem.rollback(transaction).await;
                resume_unwind(panic)
            }
        }
    }

    /// Whether the connection answers. If so, the body has lost another connection, whose request
    /// may have been carried out.
    async fn is_alive(&self, transaction: &mut Transaction<'static, DB>) -> bool {
        let Ok(storage) = storage_of::<DB>(&self.idem.0) else { return true };
        matches!(timeout(DB::patience(storage), transaction.ping()).await, Ok(Ok(())))
    }

    /// Whether a statement of the body has ended the transaction, and so may have committed
    /// something. A transaction that is not retried, or whose connection is lost, is not asked.
    async fn has_ended(&self, transaction: &mut Transaction<'static, DB>, again: Again) -> bool {
        let may_have_ended = match again {
            Again::Never | Again::IfLost | Again::AfterLoss => false,
            Again::Aborted => !DB::ENDS_BY_ITSELF,
            Again::Refused | Again::WhenFree => true,
        };
        match storage_of::<DB>(&self.idem.0) {
            Ok(storage) if may_have_ended => {
                let witness = DB::witness(storage, transaction);
                let witness = timeout(DB::patience(storage), witness).await;
                matches!(witness, Ok(Ok(BeforeCommit::Ended(_))))
            }
            _ => false,
        }
    }
}

/// The pauses before the retries.
fn pauses(retries: u32) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_factor(2.0)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX))
        .with_jitter()
        .build()
}

impl<DB: TransactionDatabase> fmt::Debug for TransactionBuilder<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionBuilder")
            .field("handle", &self.idem)
            .field("isolation", &self.isolation)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
