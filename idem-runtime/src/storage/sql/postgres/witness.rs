//! Resolves an ambiguous `COMMIT`: whether the transaction was committed, when the reply was lost.
//!
//! The server answers by the transaction's id for a long time, whatever the transaction's calls
//! did. But after a crash a server may reuse an id that it had not written to disk, and another
//! server uses the same ids for other transactions. So the id counts only while the same server has
//! been running; after that only the record of a call does: no other transaction writes that owner.
//!
//! | server, since the transaction began | the id | the call's record | verdict |
//! |---|---|---|---|
//! | the same | committed, aborted, in progress | | as the id says |
//! | the same | too old for the server | exists / is missing | committed / unknown |
//! | restarted, crashed, another one | | exists / is missing | committed / unknown |

use sqlx::PgConnection;

use super::super::connections::Share;
use super::super::row::get;
use super::super::transaction::{BeforeCommit, CallMark, CommitVerdict, into_storage_error};
use super::link::PgQuery;
use super::verbs::PgBackend;
use crate::storage::{StorageError, StorageErrorKind};

/// Identifies a transaction.
#[derive(Clone, Debug)]
pub(crate) struct PgWitness {
    id: String,
    server_started: i64,
    began: i64,
    part: Option<CallMark>,
}

impl PgBackend {
    pub(super) async fn witness(
        &self,
        connection: &mut PgConnection,
    ) -> Result<BeforeCommit<PgWitness>, StorageError> {
        let rows = self.link.raw_within(connection, self.statements.witness).await;
        let rows = rows.map_err(into_storage_error)?;
        let Some(row) = rows.first() else { return Ok(BeforeCommit::Open(None)) };
        if !get::<bool, _>(row, 1)? {
            let message = "a statement of the application ended the transaction before COMMIT";
            return Ok(BeforeCommit::Ended(StorageError::new(
                StorageErrorKind::Indeterminate,
                message,
            )));
        }
        // Without an id it has written nothing.
        let Some(id) = get::<Option<String>, _>(row, 0)? else {
            return Ok(BeforeCommit::Open(None));
        };
        let mark: Option<String> = get(row, 4)?;
        Ok(BeforeCommit::Open(Some(PgWitness {
            id,
            server_started: get(row, 2)?,
            began: get(row, 3)?,
            part: mark.and_then(|mark| CallMark::parse(&mark)),
        })))
    }

    pub(super) async fn verdict(&self, witness: &PgWitness) -> Result<CommitVerdict, StorageError> {
        let key = witness.part.as_ref().map(|part| part.key.as_str());
        let bind = |query: PgQuery<'static>| {
            let query = query.bind(witness.id.clone()).bind(witness.server_started);
            query.bind(witness.began).bind(key)
        };
        let rows = self.link.fetch(Share::Claims, &self.statements.verdict, bind).await?;
        let Some(row) = rows.first() else { return Ok(CommitVerdict::Unknown) };
        let (status, owner): (Option<String>, Option<Vec<u8>>) = (get(row, 0)?, get(row, 1)?);
        let is_owner = |part: &CallMark| owner.is_some_and(|owner| owner == part.owner.to_bytes());
        Ok(match status.as_deref() {
            Some("committed") => CommitVerdict::Committed,
            Some("aborted") => CommitVerdict::RolledBack,
            Some("in progress") => CommitVerdict::Open,
            _ if witness.part.as_ref().is_some_and(is_owner) => CommitVerdict::Committed,
            _ => CommitVerdict::Unknown,
        })
    }
}
