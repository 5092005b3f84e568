//! Records in the application's own MySQL or MariaDB transaction: see
//! [`transaction`](super::super::transaction).
//!
//! The transaction's snapshot may be older than the existing row: an `INSERT` still conflicts with
//! it, and a locking read then shows it. No statement locks a missing row, because a gap lock also
//! blocks neighbouring keys.

use std::slice::from_ref;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{MySql, MySqlConnection};

use super::super::answers::VerbAnswers;
use super::super::connections::Share;
use super::super::statement_error::StatementError;
use super::super::transaction::{
    Again, BeforeCommit, CommitVerdict, Isolation, Records, aborted, in_progress,
    into_storage_error, is_nested, single,
};
use super::completions::chunks;
use super::error::{is_locked, number};
use super::link::{MySqlSession, Server};
use super::lookup::{ClaimPath, lookups};
use super::statements::PATIENT;
use super::storage::MySqlStorage;
use super::values::SqlValue;
use super::verbs::MySqlBackend;
use super::witness::{MarkedCall, MySqlWitness};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind};

/// There is a row of this key.
const DUPLICATE: u16 = 1062;

impl Records for MySql {
    /// It rolls back by itself, and what follows commits by itself.
    const ENDS_BY_ITSELF: bool = true;

    /// The isolation level applies to the next transaction alone. Both statements are one request,
    /// so that a cancelled caller does not leave the level set.
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
            // A deadlock, a row that changed under a snapshot, a transaction that another member of
            // the group has precluded.
            Some(1213 | 1020 | 3101) => Again::Aborted,
            // A lock was not had in time: of a statement alone, unless the server is set to roll
            // back then.
            Some(1205) => Again::Refused,
            // The server is shutting down, or the session was killed.
            Some(1053 | 1080 | 1152 | 1184 | 1927 | 2006 | 2013 | 3169 | 4031) => Again::AfterLoss,
            _ => Again::Never,
        }
    }

    async fn claim_on(
        backend: &MySqlBackend,
        connection: &mut MySqlConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        backend.claim_within(&mut backend.link.within(connection), claim).await
    }

    async fn complete_on(
        backend: &MySqlBackend,
        connection: &mut MySqlConnection,
        complete: &Complete,
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        let mut session = backend.link.within(connection);
        session.send_after(MarkedCall::of(complete.owner, &complete.key).mark(&backend.link.table));
        let chunk = chunks(from_ref(complete))
            .pop()
            .ok_or_else(|| StatementError::unreadable(aborted()))?;
        backend.complete(&mut session, &chunk).await
    }

    async fn release_on(
        backend: &MySqlBackend,
        connection: &mut MySqlConnection,
        release: &Release,
    ) -> Result<VerbAnswers<Release>, StatementError> {
        let mut session = backend.link.within(connection);
        session.send_after(MarkedCall::of(release.owner, &release.key).mark(&backend.link.table));
        backend.release(&mut session, from_ref(release)).await
    }

    type Witness = MySqlWitness;

    fn witness<'c>(
        storage: &'c MySqlStorage,
        connection: &'c mut MySqlConnection,
    ) -> BoxFuture<'c, Result<BeforeCommit<MySqlWitness>, StorageError>> {
        Box::pin(async move {
            let is_nested = is_nested::<MySql>(connection);
            let mut session = storage.backend().link.within(connection);
            match MySqlWitness::take(&mut session, is_nested).await.map_err(into_storage_error) {
                // The connection broke. An earlier statement may have ended the transaction and
                // committed what came before it.
                Err(error) if error.kind() == StorageErrorKind::Indeterminate => {
                    Ok(BeforeCommit::Ended(error))
                }
                taken => taken,
            }
        })
    }

    async fn verdict_on(
        backend: &MySqlBackend,
        witness: &MySqlWitness,
    ) -> Result<CommitVerdict, StorageError> {
        // The reading statement locks the row for a moment.
        let mut session = backend.link.session(Share::Claims).await?;
        let verdict = witness.verdict(&mut session).await;
        session.give_back();
        Ok(verdict?)
    }
}

impl MySqlBackend {
    async fn claim_within(
        &self,
        session: &mut MySqlSession<'_>,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let server = session.server().await.map_err(into_storage_error)?;
        if !server.is_mariadb {
            // An earlier call may have been given up half way.
            session.send_before(PATIENT);
        }
        let seen = self.find(session, [claim]).await.map_err(into_storage_error)?.pop();
        let path = seen.ok_or_else(aborted)?.path(claim);
        if let ClaimPath::Answered(answer) = path {
            return answer;
        }
        match self.write_within(session, server, claim, path).await {
            Err(fault) if is_locked(&fault) && !server.rolls_back => Ok(in_progress(claim)),
            Err(fault) if number(&fault) == Some(DUPLICATE) => {
                match self.look_again(session, claim).await? {
                    ClaimPath::Answered(answer) => answer,
                    // Somebody has released the key since the transaction's snapshot, or died long
                    // before it.
                    path => single(self.write_within(session, server, claim, path).await),
                }
            }
            answers => single(answers),
        }
    }

    /// Writes without waiting for a locked row.
    async fn write_within(
        &self,
        session: &mut MySqlSession<'_>,
        server: Server,
        claim: &Claim,
        path: ClaimPath,
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let claims = from_ref(claim);
        if server.is_mariadb {
            return self.follow(session, &self.statements.unwaiting, claims, [path]).await;
        }
        let answers = self.follow(session, &self.statements.impatient, claims, [path]).await;
        if answers.is_err() {
            session.run(PATIENT.to_owned()).await?;
        }
        answers
    }

    /// The claim's path by the current row instead of the transaction's snapshot.
    async fn look_again(
        &self,
        session: &mut MySqlSession<'_>,
        claim: &Claim,
    ) -> Result<ClaimPath, StorageError> {
        let key = claim.key.as_str().as_bytes();
        let rows = session.fetch(&self.statements.find_locked, &[SqlValue::Bytes(key)]).await;
        let seen =
            lookups(&rows.map_err(into_storage_error)?, 1).map_err(into_storage_error)?.pop();
        Ok(seen.ok_or_else(aborted)?.path(claim))
    }
}
