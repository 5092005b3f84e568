//! Resolves an ambiguous `COMMIT`: whether the transaction was committed, when the reply was lost.
//!
//! The server cannot answer that, so another connection reads a record that the transaction wrote.
//! A session variable holds the last few calls of the transaction, and their tables. The variable
//! outlives the transaction, and a call may have been rolled back to a savepoint, so each call also
//! sets a savepoint, which both of these remove. A record may have been removed since its call
//! wrote it, so just before the commit the transaction reads one of its own records: that record
//! exists afterwards, with its owner, exactly if the transaction was committed.
//!
//! | the row, read when no transaction has it locked | verdict |
//! |---|---|
//! | the call's owner, whatever server it is on | committed: only the transaction wrote that owner |
//! | nothing, or another owner, on another server | unknown: it may lag behind |
//! | nothing, or another owner, after the record's retention | unknown |
//! | a higher fence with another owner | unknown: the key was released or its lease was over, and another claim took it over |
//! | nothing, or another owner with no higher fence | rolled back |

use std::time::Duration;

use tokio::time::Instant;

use super::super::row::get;
use super::super::statement_error::StatementError;
use super::super::table::Table;
use super::super::transaction::{BeforeCommit, CommitVerdict, aborted};
use super::error::{INSIDE, is_locked, number};
use super::link::{MySqlSession, OUTSIDE};
use super::statements::{PATIENT, own, unlocked};
use crate::hex;
use crate::key::RecordKey;
use crate::record::OwnerId;
use crate::storage::{StorageError, StorageErrorKind};

/// The variable that remembers calls: see [`MarkedCall::mark`].
const CALLS: &str = "idempotency_calls";

/// Most calls that it remembers.
const MOST_CALLS: usize = 8;

/// The server, as far as its clients can tell it from others.
const SERVER: &str = "CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir)";

/// There is no savepoint of this name.
const NO_SAVEPOINT: u16 = 1305;

/// A deadlock, or a lock wait timeout: the server may have rolled the transaction back.
const ROLLS_BACK: [u32; 2] = [1213, 1205];

/// A call that ended in a transaction, and left its record: completed, failed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MarkedCall {
    owner: OwnerId,
    /// As hex digits.
    key: String,
}

impl MarkedCall {
    pub(super) fn of(owner: OwnerId, key: &RecordKey) -> Self {
        Self { owner, key: hex::encode(key.as_str().as_bytes()) }
    }

    /// Statements after the call's own that have the session remember it, and where its table is.
    /// All of it is hex digits, which go with every character set that the session may have.
    pub(super) fn mark(&self, table: &Table) -> String {
        let Self { owner, key } = self;
        let table = hex::encode(table.records().as_bytes());
        format!(
            "; SET @{CALLS} = SUBSTRING_INDEX(CONCAT_WS(_binary',', \
                 CONCAT(_binary'{owner}:', COALESCE(HEX(DATABASE()), ''), ':{table}:{key}'), @{CALLS}), _binary',', {MOST_CALLS}); \
             SAVEPOINT {}",
            savepoint(*owner)
        )
    }
}

fn savepoint(owner: OwnerId) -> String {
    format!("idempotency_{owner}")
}

/// A call, and its table as other connections name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LocatedCall {
    part: MarkedCall,
    table: String,
}

impl LocatedCall {
    /// A call as [`MarkedCall::mark`] has it.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mut field = || fields.next();
        let owner = u128::from_str_radix(field()?, 16).ok()?;
        let (database, table, key) = (from_hex(field()?)?, from_hex(field()?)?, field()?);
        let is_name = |char: char| char.is_ascii_alphanumeric() || "_`.".contains(char);
        if key.is_empty()
            || !key.chars().all(|char| char.is_ascii_hexdigit())
            || !table.chars().all(is_name)
        {
            return None;
        }
        let table = match (table.contains("`.`"), database.as_str()) {
            (true, _) | (false, "") => table,
            (false, database) => format!("`{}`.{table}", database.replace('`', "``")),
        };
        let owner = OwnerId::from_bytes(owner.to_be_bytes());
        Some(Self { part: MarkedCall { owner, key: key.to_owned() }, table })
    }

    fn own(&self) -> String {
        own(&self.table, &self.part.key, self.part.owner)
    }
}

/// Identifies a transaction.
#[derive(Clone, Debug)]
pub(crate) struct MySqlWitness {
    placed: LocatedCall,
    fence: i64,
    server: String,
    taken: Instant,
    /// How long from then on the record is kept.
    kept: Duration,
}

impl MySqlWitness {
    /// The witness of the session's transaction. A nested transaction has none: its commit is a
    /// savepoint's. Reading a savepoint releases the later ones too, so this may run only where the
    /// whole transaction ends.
    pub(super) async fn take(
        session: &mut MySqlSession<'_>,
        is_nested: bool,
    ) -> Result<BeforeCommit<Self>, StatementError> {
        // The last statement's error is forgotten with the next statement.
        let read = format!(
            "SHOW ERRORS LIMIT 1; SELECT @{CALLS}, {SERVER}, @idempotency_wait IS NOT NULL"
        );
        let forget = if is_nested { String::new() } else { format!("; SET @{CALLS} = NULL") };
        let taken = Instant::now();
        let rows = session.run(read + &forget).await?;
        let (row, errors) =
            rows.split_last().ok_or_else(|| StatementError::unreadable(aborted()))?;
        let last_error = errors.first().and_then(|error| get(error, 1).ok());
        let calls: Option<Vec<u8>> = get(row, 0).map_err(StatementError::unreadable)?;
        let server: String = get(row, 1).map_err(StatementError::unreadable)?;
        if get::<i64, _>(row, 2).map_err(StatementError::unreadable)? != 0 {
            session.run(PATIENT.to_owned()).await?;
        }
        let calls = String::from_utf8(calls.unwrap_or_default()).unwrap_or_default();
        let calls: Vec<_> = calls.split(',').map(LocatedCall::parse).collect();
        let mut is_open = false;
        for placed in calls.iter().flatten().filter(|_| !is_nested) {
            let ask =
                format!("RELEASE SAVEPOINT {}; {}", savepoint(placed.part.owner), placed.own());
            let rows = match session.run(ask).await {
                Ok(rows) => rows,
                // The call belongs to an earlier transaction, or was rolled back to a savepoint.
                Err(fault) if number(&fault) == Some(NO_SAVEPOINT) => continue,
                // Its table can no longer be read.
                Err(fault) if fault.error.kind() == StorageErrorKind::Configuration => continue,
                Err(fault) => return Err(fault),
            };
            is_open = true;
            let Some(row) = rows.first() else { continue };
            let fence = get(row, 0).map_err(StatementError::unreadable)?;
            let kept: i64 = get(row, 1).map_err(StatementError::unreadable)?;
            let kept = Duration::from_millis(u64::try_from(kept).unwrap_or(0));
            let placed = placed.clone();
            return Ok(BeforeCommit::Open(Some(Self { placed, fence, server, taken, kept })));
        }
        if is_open || is_inside(session).await? {
            return Ok(BeforeCommit::Open(None));
        }
        ended(last_error).map(BeforeCommit::Ended)
    }

    /// Whether the transaction was committed. The session must not be inside a transaction.
    pub(super) async fn verdict(
        &self,
        session: &mut MySqlSession<'_>,
    ) -> Result<CommitVerdict, StatementError> {
        let LocatedCall { part, table } = &self.placed;
        let rows = session.run(format!("SELECT {SERVER}")).await?;
        let server: Option<String> =
            rows.first().map(|row| get(row, 0)).transpose().map_err(StatementError::unreadable)?;
        let rows = match session.run(unlocked(table, &part.key)).await {
            Err(fault) if is_locked(&fault) => return Ok(CommitVerdict::Open),
            rows => rows?,
        };
        let found = rows.first().map(|row| Ok((get(row, 0)?, get(row, 1)?))).transpose();
        let found: Option<(Vec<u8>, i64)> = found.map_err(StatementError::unreadable)?;
        let is_certain = server.as_ref() == Some(&self.server) && self.taken.elapsed() < self.kept;
        Ok(match found {
            Some((owner, _)) if owner == part.owner.to_bytes() => CommitVerdict::Committed,
            Some((_, fence)) if fence > self.fence => CommitVerdict::Unknown,
            _ if is_certain => CommitVerdict::RolledBack,
            _ => CommitVerdict::Unknown,
        })
    }
}

/// Whether the session is still inside the transaction: a deadlock ends it.
async fn is_inside(session: &mut MySqlSession<'_>) -> Result<bool, StatementError> {
    match session.run(OUTSIDE.to_owned()).await {
        Err(fault) if number(&fault) == Some(INSIDE) => Ok(true),
        answer => answer.map(|_| false),
    }
}

/// The error of a transaction that the server has ended. A deadlock or a lock wait timeout rolls it
/// back; if that was the last statement, nothing was committed. Otherwise a statement committed
/// implicitly, or statements after the rollback committed one by one.
fn ended(last_error: Option<u32>) -> Result<StorageError, StatementError> {
    if !last_error.is_some_and(|number| ROLLS_BACK.contains(&number)) {
        let message = "the transaction ended before COMMIT: a statement committed implicitly, or a deadlock rolled it back";
        return Ok(StorageError::new(StorageErrorKind::Indeterminate, message));
    }
    let message = "the server rolled the transaction back before COMMIT (deadlock or lock wait timeout): retry";
    Err(StatementError::never(StorageErrorKind::NotApplied, message))
}

/// The text with these hex digits, which MySQL writes in upper case.
fn from_hex(digits: &str) -> Option<String> {
    String::from_utf8(hex::decode(&digits.to_ascii_lowercase())?).ok()
}

#[cfg(test)]
mod tests {
    use super::{LocatedCall, MarkedCall, hex};
    use crate::record::OwnerId;

    fn text(owner: OwnerId, database: &str, table: &str, key: &str) -> String {
        let [database, table, key] =
            [database, table, key].map(|text| hex::encode(text.as_bytes()));
        format!("{owner}:{}:{table}:{key}", database.to_uppercase())
    }

    #[test]
    fn a_call_is_found_in_the_table_that_it_wrote_to() {
        let owner = OwnerId::random();
        let part = || MarkedCall { owner, key: hex::encode("n::Ä'".as_bytes()) };
        for (database, table, named) in [
            ("shop", "`records`", "`shop`.`records`"),
            ("a`b", "`records`", "`a``b`.`records`"),
            ("shop", "`other`.`records`", "`other`.`records`"),
            ("", "`other`.`records`", "`other`.`records`"),
        ] {
            let placed = LocatedCall { part: part(), table: named.to_owned() };
            assert_eq!(LocatedCall::parse(&text(owner, database, table, "n::Ä'")), Some(placed));
        }
    }

    #[test]
    fn what_is_no_call_is_passed_by() {
        let owner = OwnerId::random();
        let broken = text(owner, "d", "t; DROP TABLE x", "k");
        for text in [
            "",
            ":::",
            "x:64:60:6b",
            &format!("{owner}:64:60:zz"),
            &format!("{owner}:6:60:6b"),
            &broken,
        ] {
            assert_eq!(LocatedCall::parse(text), None, "{text}");
        }
    }
}
