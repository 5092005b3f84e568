//! Records in the application's own MySQL or MariaDB transaction: see [`transaction`](super::super::transaction).
//!
//! The transaction's snapshot may be older than the row that is there: an `INSERT` meets it all the same, and then a locking read shows it.
//! Nothing locks a row that is not there, which would lock out its neighbours as well.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{MySql, MySqlConnection, Transaction};

use super::super::answers::{Answer, Answers};
use super::super::connections::{Share, on_driver};
use super::super::fault::Fault;
use super::super::transaction::{
    Again, Before, Isolation, Records, Uncommitted, Verdict, broken, broken_up, commit, held,
    is_nested, only,
};
use super::super::tried::name_right;
use super::MySqlStorage;
use super::completions::chunks;
use super::error::{explain, number};
use super::link::{Server, Session};
use super::seen::{Path, seen};
use super::statements::PATIENT;
use super::values::Value;
use super::verbs::Backend;
use super::witness::{Part, Witness};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind, Written};

/// A lock was not had in time.
const LOCKED: [u16; 2] = [1205, 3572];

/// There is a row of this key.
const DUPLICATE: u16 = 1062;

impl Records for MySql {
    const CALLED: &'static str = "mysql";

    type Storage = MySqlStorage;

    /// It rolls back by itself, and what follows commits by itself.
    const ENDS_BY_ITSELF: bool = true;

    /// What is set is that of the next transaction alone. One text, so that a caller who goes away leaves nothing behind.
    fn begin(isolation: Option<Isolation>) -> &'static str {
        match isolation {
            None => "BEGIN",
            Some(Isolation::ReadCommitted) => {
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN"
            }
            Some(Isolation::RepeatableRead) => {
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; BEGIN"
            }
            Some(Isolation::Serializable) => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; BEGIN",
        }
    }

    fn again(error: &(dyn DatabaseError + 'static)) -> Again {
        let number = error.try_downcast_ref().map(MySqlDatabaseError::number);
        match number {
            // A deadlock, a row that changed under a snapshot, a transaction that another member of the group has precluded.
            Some(1213 | 1020 | 3101) => Again::Aborted,
            // A lock was not had in time: of a statement alone, unless the server is set to roll back then.
            Some(1205) => Again::Refused,
            // The server is told to stop, or the session was ended.
            Some(1053 | 1080 | 1152 | 1184 | 1927 | 2006 | 2013 | 3169 | 4031) => Again::AfterLoss,
            _ => Again::Never,
        }
    }

    fn claim<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(async move {
            storage.0.try_rights().await?;
            let backend = &storage.0.backend;
            let mut session = backend.link.within(connection);
            let claimed = backend.claim_within(&mut session, claim).await;
            claimed.map_err(|error| name_right("INSERT", error))
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
            let part = Part::of(complete.owner, &complete.key);
            session.send_after(part.mark(&backend.link.table));
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
            let part = Part::of(release.owner, &release.key);
            session.send_after(part.mark(&backend.link.table));
            let batch = std::slice::from_ref(release);
            only(backend.release(&mut session, batch).await)
        })
    }

    type Witness = Witness;

    fn witness<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
    ) -> BoxFuture<'c, Result<Before<Witness>, StorageError>> {
        Box::pin(async move {
            let is_nested = is_nested::<MySql>(connection);
            let mut session = storage.0.backend.link.within(connection);
            match Witness::take(&mut session, is_nested).await.map_err(broken) {
                // The connection broke. Before that a statement may have ended the transaction, and committed what came before it.
                Err(error) if error.kind() == StorageErrorKind::Indeterminate => {
                    Ok(Before::Ended(error))
                }
                taken => taken,
            }
        })
    }

    fn commit<'c>(
        storage: &'c MySqlStorage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        let link = &storage.0.backend.link;
        let classify = |error| broken(explain(error, true, &link.table).0);
        Box::pin(commit(transaction, link.response_timeout, classify))
    }

    fn verdict<'c>(
        storage: &'c MySqlStorage,
        witness: &'c Witness,
    ) -> BoxFuture<'c, Result<Verdict, StorageError>> {
        let (backend, witness) = (Arc::clone(&storage.0.backend), witness.clone());
        let limit = backend.link.limit();
        let asking = async move {
            // What it asks locks the row for a moment.
            let mut session = backend.link.session(Share::Claims).await?;
            let verdict = witness.verdict(&mut session).await;
            session.give_back();
            Ok(verdict?)
        };
        Box::pin(on_driver(limit, asking))
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
        let server = session.server().await.map_err(broken)?;
        if !server.is_mariadb {
            // An earlier call may have been given up half way.
            session.send_before(PATIENT);
        }
        let seen = self.find(session, [claim]).await.map_err(broken)?.pop();
        let path = seen.ok_or_else(broken_up)?.path(claim);
        if let Path::Answered(answer) = path {
            return answer;
        }
        match self.write_within(session, server, claim, path).await {
            Err(fault) if is_locked(&fault) && !server.rolls_back => Ok(held(claim)),
            Err(fault) if number(&fault) == Some(DUPLICATE) => {
                match self.look_again(session, claim).await? {
                    Path::Answered(answer) => answer,
                    // Somebody has released the key since the transaction's snapshot, or died long before it.
                    path => only(self.write_within(session, server, claim, path).await),
                }
            }
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
        let answers = self.follow(session, &self.statements.impatient, claim, path).await;
        if answers.is_err() {
            session.run(PATIENT.to_owned()).await?;
        }
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
            Path::TakeOver(before) => self.take_over(session, statements, &claims, &[before]).await,
            Path::Park(now) => self.park(session, statements, &claims, now).await,
        }
    }

    /// What a claim does about the row that is there, whatever the transaction's snapshot shows.
    async fn look_again(
        &self,
        session: &mut Session<'_>,
        claim: &Claim,
    ) -> Result<Path, StorageError> {
        let key = claim.key.as_str().as_bytes();
        let rows = session.fetch(&self.statements.find_locked, &[Value::Bytes(key)]).await;
        let seen = seen(&rows.map_err(broken)?, 1).map_err(broken)?.pop();
        Ok(seen.ok_or_else(broken_up)?.path(claim))
    }
}

pub(super) fn is_locked(fault: &Fault) -> bool {
    number(fault).is_some_and(|number| LOCKED.contains(&number))
}
