//! Records in the application's own MySQL or MariaDB transaction: see [`transaction`](super::super::transaction).
//!
//! The transaction's snapshot may be older than the row that is there: an `INSERT` meets it all the same, and then a locking read shows it.
//! Nothing locks a row that is not there, which would lock out its neighbours as well.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{MySql, MySqlConnection, Transaction};

use super::super::answers::{Answer, Answers};
use super::super::fault::Fault;
use super::super::transaction::{
    Part, Records, Uncommitted, broken, broken_up, commit, held, only,
};
use super::MySqlStorage;
use super::asked::hex;
use super::completions::chunks;
use super::error::{INSIDE, explain, number};
use super::link::{OUTSIDE, Server, Session};
use super::seen::{Path, seen};
use super::values::Value;
use super::verbs::{Backend, get};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind, Written};

/// The savepoint that is there as long as the transaction which made it; the variable of the same name says what it is about.
const MARK: &str = "idempotency_call";

/// A lock was not had in time.
const LOCKED: [u16; 2] = [1205, 3572];

/// There is a row of this key.
const DUPLICATE: u16 = 1062;

/// There is no savepoint of this name.
const NO_SAVEPOINT: u16 = 1305;

impl Records for MySql {
    const CALLED: &'static str = "mysql";

    type Storage = MySqlStorage;

    fn claim<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = backend.link.within(connection);
            let claimed = backend.claim_within(&mut session, claim).await?;
            if matches!(claimed, Claimed::Acquired { .. }) {
                mark(&mut session, &Part::of(claim)).await.map_err(broken)?;
            }
            Ok(claimed)
        })
    }

    fn complete<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
        complete: &'c Complete,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = backend.link.within(connection);
            let batch = std::slice::from_ref(complete);
            let chunk = chunks(batch).pop().ok_or_else(broken_up)?;
            only(backend.complete(&mut session, &chunk).await)
        })
    }

    fn release<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
        release: &'c Release,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = backend.link.within(connection);
            let batch = std::slice::from_ref(release);
            only(backend.release(&mut session, batch).await)
        })
    }

    fn part<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
    ) -> BoxFuture<'c, Result<Option<Part>, StorageError>> {
        Box::pin(async move {
            let mut session = storage.0.backend.link.within(connection);
            // The variable outlives the transaction, the savepoint does not.
            let read = format!("RELEASE SAVEPOINT {MARK}; SELECT @{MARK}");
            let rows = match session.run(read).await {
                Err(fault) if number(&fault) == Some(NO_SAVEPOINT) => {
                    return still_open(&mut session).await.map(|()| None);
                }
                rows => rows.map_err(broken)?,
            };
            let mark: Option<String> = rows.first().map(|row| get(row, 0)).transpose()?.flatten();
            Ok(mark.and_then(|digits| Part::parse(&from_hex(&digits)?)))
        })
    }

    fn commit<'c>(
        storage: &'c MySqlStorage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        let link = &storage.0.backend.link;
        let mean = |error| broken(explain(error, true, &link.table).0);
        Box::pin(commit(transaction, link.response_timeout, mean))
    }

    fn is_committed<'c>(
        storage: &'c MySqlStorage,
        part: &'c Part,
    ) -> BoxFuture<'c, Result<Option<bool>, StorageError>> {
        Box::pin(async move {
            let Backend { link, statements, .. } = &*storage.0.backend;
            let key = part.key.as_str().as_bytes();
            let mut session = link.session().await?;
            // It locks the row for a moment.
            session.outside().await?;
            let rows = match session.fetch(&statements.owner, &[Value::Bytes(key)]).await {
                // The transaction is still open.
                Err(fault) if is_locked(&fault) => return Ok(None),
                rows => rows?,
            };
            let owner: Option<Vec<u8>> = rows.first().map(|row| get(row, 0)).transpose()?.flatten();
            Ok(Some(owner.is_some_and(|owner| owner == part.owner.to_bytes())))
        })
    }

    fn patience(storage: &MySqlStorage) -> Duration {
        storage.0.backend.link.response_timeout
    }
}

impl Backend {
    async fn claim_within(
        &self,
        session: &mut Session<'_>,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let seen = self.find(session, [claim]).await.map_err(broken)?.pop();
        let path = seen.ok_or_else(broken_up)?.path(claim);
        if let Path::Answered(answer) = path {
            return answer;
        }
        let server = session.server().await.map_err(broken)?;
        match self.write_within(session, server, claim, path).await {
            Err(fault) if is_locked(&fault) && !server.rolls_back => Ok(held(claim)),
            Err(fault) if number(&fault) == Some(DUPLICATE) => self.settle(session, claim).await,
            answers => only(answers),
        }
    }

    /// Writes without waiting for those who have locked the row.
    async fn write_within(
        &self,
        session: &mut Session<'_>,
        server: Server,
        claim: &Claim,
        path: Path,
    ) -> Result<Answers<Claim>, Fault> {
        if server.is_mariadb {
            return self.follow(session, &self.statements.unwaiting, claim, path).await;
        }
        let impatient = "SET @idempotency_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = 1";
        session.run(impatient.to_owned()).await?;
        let answers = self.follow(session, &self.statements.claims, claim, path).await;
        let patient = "SET SESSION innodb_lock_wait_timeout = @idempotency_wait";
        session.run(patient.to_owned()).await?;
        answers
    }

    async fn follow(
        &self,
        session: &mut Session<'_>,
        statements: &super::statements::ClaimStatements,
        claim: &Claim,
        path: Path,
    ) -> Result<Answers<Claim>, Fault> {
        let claims = [(0, claim)];
        match path {
            Path::Answered(answer) => Ok(vec![Answer::Settled(answer)]),
            Path::Insert { is_expired: true } => {
                self.insert(session, statements, &claims, &[claim]).await
            }
            Path::Insert { is_expired: false } => {
                self.insert(session, statements, &claims, &[]).await
            }
            Path::TakeOver(held) => self.take_over(session, statements, &claims, &[held]).await,
            Path::Park(now) => self.park(session, statements, &claims, now).await,
        }
    }

    /// What the row says that is there, whatever the transaction's snapshot shows.
    async fn settle(
        &self,
        session: &mut Session<'_>,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let key = claim.key.as_str().as_bytes();
        let rows = session.fetch(&self.statements.find_locked, &[Value::Bytes(key)]).await;
        let seen = seen(&rows.map_err(broken)?, 1).map_err(broken)?.pop();
        only(Ok(vec![seen.ok_or_else(broken_up)?.settle(claim)]))
    }
}

fn is_locked(fault: &Fault) -> bool {
    number(fault).is_some_and(|number| LOCKED.contains(&number))
}

/// Has the transaction say which call became part of it.
async fn mark(session: &mut Session<'_>, part: &Part) -> Result<(), Fault> {
    let digits = hex(part.to_string().as_bytes());
    session.run(format!("SET @{MARK} = '{digits}'; SAVEPOINT {MARK}")).await?;
    Ok(())
}

/// Whether there still is a transaction: a deadlock ends one, and what follows is not part of it.
async fn still_open(session: &mut Session<'_>) -> Result<(), StorageError> {
    match session.run(OUTSIDE.to_owned()).await {
        Err(fault) if number(&fault) == Some(INSIDE) => Ok(()),
        Err(fault) => Err(broken(fault)),
        Ok(_) => {
            let message = "the server has ended the transaction before its commit, for a deadlock or by a statement that commits by itself";
            Err(StorageError::new(StorageErrorKind::NotApplied, message))
        }
    }
}

/// The text that was written as hex digits.
fn from_hex(digits: &str) -> Option<String> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(pairs.map(byte).collect::<Option<_>>()?).ok()
}
