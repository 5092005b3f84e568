//! A call inside the application's own database transaction: claim, effect and result are one
//! commit.
//!
//! ```text
//! in_transaction ── operation … run ──► claim in the transaction ──► replay, mismatch, in progress
//!                                         │ acquired
//!                                       the body, on the same connection
//!                                         │
//!                                       complete or release in the transaction
//! commit ──► witness ──► COMMIT ──► reply lost? another connection looks for the witness
//! ```
//!
//! `Idempotency::commit` is in `commit.rs`. There is no guard, no heartbeat and no in-flight table:
//! the record is invisible before the commit, and if this process dies the database rolls back
//! both. The limits of each database are in
//! [`storage::sql::transaction`](crate::storage::sql::transaction).

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use sqlx::Database;
use tracing::{Instrument, Span};

use super::call::{Call, CallError, Recording};
use super::claim::{Waking, polls, unanswered};
use super::flight::later;
use super::handle::Idempotency;
use super::operation::{Attached, Operation};
use super::outcome::Outcome;
use super::report::{Aftermath, CallReport};
use super::shared::SharedHandle;
use crate::error::{Error, ErrorKind};
use crate::policy::{Defaults, ErrorPolicy, MapError, Policy, Storable};
use crate::runtime;
use crate::storage::sql::SqlStorage;
use crate::storage::sql::transaction::{Records, TransactionConnection};
use crate::storage::{Claimed, Complete, Release, StorageErrorKind, Written};
use crate::sync::time::{Instant, sleep_until, timeout};
use crate::telemetry;

/// A transaction that a call becomes part of. From [`Idempotency::in_transaction`].
#[must_use = "nothing happens in the transaction until an operation is given a body"]
pub struct InTransaction<'t, C> {
    handle: Idempotency,
    connection: &'t mut C,
}

/// The binding of an [`Operation`] whose record is part of a transaction.
pub struct Within<'t, C>(&'t mut C);

impl Idempotency {
    /// Makes the next call part of the application's own transaction: its record and its effect are
    /// committed together, or not at all. Only here is "exactly once" true without conditions.
    ///
    /// `transaction` is a [`sqlx::Transaction`], or a connection inside one, on the database of
    /// this handle's storage.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx::PgPool, idem: idem_runtime::Idempotency) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = pool.begin().await?;
    /// let balance: i64 = idem
    ///     .in_transaction(&mut tx)
    ///     .operation("deposit")
    ///     .key("deposit:42")
    ///     .fingerprint(&("alice", 100))
    ///     .run(async |tx| {
    ///         let update = "UPDATE accounts SET balance = balance + 100 WHERE name = 'alice' RETURNING balance";
    ///         let balance = sqlx::query_scalar(update).fetch_one(tx).await?;
    ///         Ok::<i64, Box<dyn std::error::Error>>(balance)
    ///     })
    ///     .await?;
    /// idem.commit(tx).await?;
    /// # let _ = balance;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// After an error, roll the transaction back with [`Idempotency::rollback`], which keeps that
    /// error: nothing has happened then, and the next call with the key runs. Dropping a
    /// transaction rolls it back too, a moment later; until then other calls get
    /// [`AlreadyProcessing`](ErrorKind::AlreadyProcessing).
    pub fn in_transaction<'t, C: TransactionConnection>(
        &self,
        transaction: &'t mut C,
    ) -> InTransaction<'t, C> {
        InTransaction { handle: self.clone(), connection: transaction }
    }
}

/// The handle's storage, if it is on the transaction's database.
pub(super) fn storage_of<DB: Records>(inner: &SharedHandle) -> Result<&SqlStorage<DB>, Error> {
    inner.storage.downcast_ref().ok_or_else(|| {
        let text = format!(
            "the transaction is on {}, and the handle's storage is not: give it the storage of the same database, without a wrapper",
            DB::BACKEND
        );
        Error::new(ErrorKind::Configuration, text)
    })
}

impl<'t, C> InTransaction<'t, C> {
    /// Starts a call of the operation `name`.
    ///
    /// It has neither a lease nor a crash policy: when this process dies, the transaction is rolled
    /// back.
    pub fn operation(
        self,
        name: impl Into<Cow<'static, str>>,
    ) -> Operation<Defaults, Within<'t, C>> {
        Operation::bound(Ok(self.handle.0), name.into(), Within(self.connection))
    }
}

impl<C: TransactionConnection, P> Operation<P, Within<'_, C>> {
    /// Runs the body in the transaction, or replays the outcome of its first run. Gives the value;
    /// [`run_with_outcome`](Self::run_with_outcome) says where it comes from as well.
    ///
    /// # Errors
    ///
    /// As [`run`](Operation::run) without a transaction, except that a commit makes some of them
    /// impossible, and
    ///
    /// | what is wrong | kind |
    /// |---|---|
    /// | the connection is not in a transaction, or the handle's storage is on another kind of database | [`Configuration`](ErrorKind::Configuration) |
    /// | the database does not answer the claim within the handle's [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout) | [`Storage`](ErrorKind::Storage), retryable in a new transaction |
    /// | the transaction was aborted (deadlock or serialization failure) | [`Storage`](ErrorKind::Storage), retryable in a new transaction |
    /// | the record is no longer part of the transaction when the body returns | [`LeaseLost`](ErrorKind::LeaseLost) |
    ///
    /// An uncommitted transaction with this key is
    /// [`AlreadyProcessing`](ErrorKind::AlreadyProcessing), or is waited for as long as
    /// [`wait`](Operation::wait) says; its fingerprint is unknown until it commits. SQLite lets one
    /// transaction write at a time, so the second waits for its turn, within the connection's busy
    /// timeout and the claim timeout.
    ///
    /// Roll the transaction back after any error. A failure of the body is recorded only if the
    /// transaction is committed nevertheless.
    ///
    /// # Cancel safety
    ///
    /// Roll the transaction back when the future was dropped: the call has no effect then. A drop
    /// after the claim is counted as `cancelled` and reported to
    /// [`on_abandoned`](crate::IdempotencyBuilder::on_abandoned), as a panic in the body is.
    pub async fn run<T, E, F>(self, body: F) -> Result<T, E>
    where
        T: Storable,
        P: Policy<T, E>,
        F: AsyncFnOnce(&mut <C::Database as Database>::Connection) -> Result<T, E>,
    {
        self.run_with_outcome(body).await.map(Outcome::into_value)
    }

    /// Like [`run`](Self::run), and says where the value comes from.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_with_outcome<T, E, F>(self, body: F) -> Result<Outcome<T>, E>
    where
        T: Storable,
        P: Policy<T, E>,
        F: AsyncFnOnce(&mut <C::Database as Database>::Connection) -> Result<T, E>,
    {
        let Self { settings, policy, binding: Within(connection) } = self;
        let operation = Operation { settings, policy, binding: Attached };
        match begin(operation, connection).await {
            ControlFlow::Break(result) => result,
            ControlFlow::Continue(mut running) => {
                let result = running.body(body(connection.connection())).await;
                running.end(connection, result).await
            }
        }
    }
}

/// A call that has claimed its key in a transaction and runs its body.
pub(crate) struct RunningInTransaction<P> {
    call: Call,
    policy: P,
    report: CallReport,
    span: Span,
}

/// Claims in the transaction. Returns the call whose body runs next, or the result of a call whose
/// body does not run.
pub(crate) async fn begin<C, T, E, P>(
    operation: Operation<P>,
    connection: &mut C,
) -> ControlFlow<Result<Outcome<T>, E>, RunningInTransaction<P>>
where
    C: TransactionConnection,
    T: Storable,
    P: ErrorPolicy<E> + MapError<E>,
{
    let Operation { settings, policy, binding: Attached } = operation;
    let call = match settings.into_call() {
        Ok(call) => call,
        Err(error) => return ControlFlow::Break(Err(policy.map(error))),
    };
    let mut report = CallReport::begin(&call.inner, &call.flight);
    let span = telemetry::span(&call.flight.name);
    let claimed = claim(&call, connection).instrument(span.clone()).await;
    let replayed = match claimed {
        Ok(Claimed::Acquired { fence, recovered }) => {
            call.flight.acquired_within(fence, recovered);
            if recovered {
                call.inner.hooks.takeover(&call.event(None));
            }
            report.running(Aftermath::RolledBack);
            return ControlFlow::Continue(RunningInTransaction { call, policy, report, span });
        }
        Ok(Claimed::Parked(finished)) => {
            call.inner.parked.add(&call.flight.name, &call.inner.hooks);
            call.replay(&policy, finished)
        }
        Ok(Claimed::Replay(finished)) => call.replay(&policy, finished),
        Ok(Claimed::InProgress { lease_left }) => Err(call.already_processing(lease_left).into()),
        Ok(Claimed::Mismatch) => Err(call.mismatch().await.into()),
        Err(error) => Err(error.of_call(&call.flight.name).into()),
    };
    ControlFlow::Break(report.ended(&call, &policy, replayed))
}

/// Claims, and waits for another transaction if the call may wait.
async fn claim<C: TransactionConnection>(
    call: &Call,
    connection: &mut C,
) -> Result<Claimed, Error> {
    call.check_reentrancy()?;
    runtime::check().map_err(|text| Error::new(ErrorKind::Configuration, text))?;
    let storage = storage_of::<C::Database>(&call.inner)?;
    if !connection.is_in_transaction() {
        let text = "the connection is not inside a transaction: begin one with `begin` of its pool or its own";
        return Err(Error::new(ErrorKind::Configuration, text));
    }
    let request = call.claim_request();
    let deadline = call.wait.map(|wait| later(Instant::now(), wait));
    let mut polls = polls(Waking::Polls);
    loop {
        let claimed = C::Database::claim(storage, connection.connection(), &request);
        let claimed = timeout(call.inner.claim_timeout, claimed).await.unwrap_or_else(|_| {
            Err(unanswered(call.inner.claim_timeout, StorageErrorKind::Indeterminate, None))
        })?;
        let now = Instant::now();
        match (&claimed, deadline) {
            (Claimed::InProgress { .. }, Some(deadline)) if now < deadline => {
                let until = later(now, polls.next().unwrap_or_default());
                sleep_until(until.min(deadline)).await;
            }
            _ => return Ok(claimed),
        }
    }
}

impl<P> RunningInTransaction<P> {
    /// Runs the body.
    pub(crate) async fn body<F: Future>(&mut self, body: F) -> F::Output {
        // On the heap, as without a transaction.
        self.report.watch(Box::pin(body).instrument(self.span.clone())).await
    }

    /// Makes the outcome part of the transaction.
    pub(crate) async fn end<C, T, E>(
        self,
        connection: &mut C,
        result: Result<T, E>,
    ) -> Result<Outcome<T>, E>
    where
        C: TransactionConnection,
        T: Storable,
        P: Policy<T, E>,
    {
        let Self { call, policy, report, span } = self;
        let Recording { finish, unstorable } = call.recording(&policy, &result);
        let (key, owner) = (call.flight.name.record.clone(), call.flight.owner);
        let connection = connection.connection();
        let written = async {
            let storage = storage_of::<C::Database>(&call.inner)?;
            let written = match finish {
                Some(finish) => {
                    let complete = Complete { key, owner, finish, ttl: call.ttl };
                    C::Database::complete(storage, connection, &complete).await?
                }
                None => C::Database::release(storage, connection, &Release { key, owner }).await?,
            };
            match written {
                Written::Done => Ok(()),
                Written::LeaseLost(_) => {
                    let text =
                        "the record of the call is no longer part of the transaction: roll it back";
                    Err(Error::new(ErrorKind::LeaseLost, text))
                }
            }
        };
        let operation = &call.flight.name.operation;
        let written =
            written.instrument(span).await.map_err(|error| error.of_call(&call.flight.name));
        let result = match (result, written) {
            (Ok(value), Ok(())) => Ok(Outcome { value, source: call.source(unstorable.as_ref()) }),
            (Ok(_), Err(error)) => Err(CallError::Library(error)),
            // Such an error ends the transaction on this database, and the caller's later
            // statements would be committed one by one.
            (Err(_), Err(error))
                if C::Database::ENDS_BY_ITSELF && error.kind() == ErrorKind::Storage =>
            {
                Err(CallError::Library(error))
            }
            // The transaction will be rolled back, or is already.
            (Err(failure), Err(error)) => {
                tracing::debug!(%operation, %error, "a failure is not recorded in its transaction");
                Err(CallError::Body(failure))
            }
            (Err(failure), Ok(())) => Err(CallError::Body(failure)),
        };
        report.ended(&call, &policy, result)
    }
}

impl<C> fmt::Debug for InTransaction<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransaction").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Within<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Within")
    }
}
