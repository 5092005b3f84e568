//! The verbs as sequences of statements.
//!
//! MySQL has no statement that writes and tells what it wrote. So a write's count is believed when it is that of the whole batch, which means
//! that every verb's conditions were met, or zero; else what is there is read back, and the state machine says, by the owner that the row
//! names, what it means for each verb.
//!
//! | verb | statements |
//! |---|---|
//! | claim | read; insert where nothing was; take over where a lease was over, and read back if that did not meet all; or park, and read back |
//! | renew, complete | update; read back if it did not meet all |
//! | release | read; delete those of the caller; read back if it did not meet all |
//!
//! | what happens between two statements | why that is all right |
//! |---|---|
//! | another process inserts the key | the insert is refused as a whole, and the claim goes again |
//! | another process takes over first | the update does not meet its conditions, which name the fence, and reading back finds the other's id |
//! | a takeover's own lease ends before it is read back | what is read no longer says whose it was: the caller is told that nobody knows |
//! | of several releases some are too late | one whose record is not its own any more is told that nobody knows who has removed it |
//! | a renewed lease ends before it is read back | the answer is what is true by then: the lease is lost |
//! | this process dies, or the reply is lost | the same owner's next claim reads its own row: acquired; its next complete its own result: done |
//! | an expired row was removed and nothing inserted | an expired row counts as none |

use sqlx::Row;
use sqlx::mysql::MySqlRow;
use tokio::sync::OnceCell;

use super::super::fault::{Fault, Then};
use super::super::group::{Answer, Runs, Verb};
use super::super::row::corrupt;
use super::super::wakeups::Polls;
use super::asked;
use super::completions::{Chunk, chunks};
use super::link::{Link, Session};
use super::seen::{Path, Seen, is_at_work, seen};
use super::statements::{ClaimStatements, Statements};
use super::transaction::Server;
use super::values::Value;
use crate::key::RecordKey;
use crate::record::Fence;
use crate::storage::{
    Claim, Claimed, Complete, Release, Renew, StorageError, StorageErrorKind, Written,
};

/// What runs the statements.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) link: Link,
    pub(super) statements: Statements,
    /// What the server is, once that has been asked.
    pub(super) server: OnceCell<Server>,
}

impl Backend {
    /// Reads the rows of verbs, one answer for each.
    pub(super) async fn find<'v, V: Verb>(
        &self,
        session: &mut Session<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Seen>, Fault> {
        let verbs = verbs.into_iter();
        let mut keys = verbs.clone().map(Verb::key);
        let rows = if let (Some(key), None) = (keys.next(), keys.next()) {
            let key = key.as_str().as_bytes();
            session.fetch(&self.statements.find_one, &[Value::Bytes(key)]).await?
        } else {
            let keys = asked::keys(verbs.clone().map(Verb::key));
            session.fetch(&self.statements.find, &[Value::Text(&keys)]).await?
        };
        seen(&rows, verbs.count())
    }

    /// Reads back what a write made of rows: an error here no longer means that nothing changed.
    async fn find_again<'v, V: Verb>(
        &self,
        session: &mut Session<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Seen>, Fault> {
        self.find(session, verbs).await.map_err(|fault| {
            let message = "the database did not say what became of a write";
            let error = StorageError::new(StorageErrorKind::Indeterminate, message);
            Fault { then: Then::Tell, error: error.with_source(fault.error) }
        })
    }

    /// Claims of keys without a row, or with an expired one.
    pub(super) async fn insert(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        expired: &[&Claim],
    ) -> Result<Vec<Answer<Claimed>>, Fault> {
        if !expired.is_empty() {
            let keys = asked::keys(expired.iter().map(|claim| &claim.key));
            session.execute(&statements.remove_expired, &[Value::Text(&keys)]).await?;
        }
        let fields = asked::claims(verbs(claims));
        // It is refused as a whole where one of the keys has a row by now.
        session.execute(&statements.insert, &[Value::Text(&fields)]).await?;
        let acquired = || Answer::Settled(Ok(Claimed::Acquired { fence: Fence::FIRST }));
        Ok(claims.iter().map(|_| acquired()).collect())
    }

    /// Claims of keys that had these fences when their owners' leases were over.
    pub(super) async fn take_over(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        fences: &[Fence],
    ) -> Result<Vec<Answer<Claimed>>, Fault> {
        let fields = asked::takeovers(verbs(claims).zip(fences));
        let count = session.execute(&statements.take_over, &[Value::Text(&fields)]).await?;
        if count == claims.len() as u64 {
            let acquired = |fence: &Fence| Claimed::Acquired { fence: fence.next() };
            return Ok(fences.iter().map(|fence| Answer::Settled(Ok(acquired(fence)))).collect());
        }
        let seen = self.find_again(session, verbs(claims)).await?;
        let answer = |((seen, claim), &fence): ((Seen, &Claim), &Fence)| {
            if count == 0 || seen.tells_who_took(fence, claim.owner) {
                return seen.settle(claim);
            }
            let message = "others have changed the record before the database said whose it was";
            Answer::Settled(Err(StorageError::new(StorageErrorKind::Indeterminate, message)))
        };
        Ok(seen.into_iter().zip(verbs(claims)).zip(fences).map(answer).collect())
    }

    /// Claims of keys whose owner's lease was over and who is not to be followed.
    pub(super) async fn park(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
    ) -> Result<Vec<Answer<Claimed>>, Fault> {
        let fields = asked::claims(verbs(claims));
        session.execute(&statements.park, &[Value::Text(&fields)]).await?;
        let seen = self.find_again(session, verbs(claims)).await?;
        Ok(seen.into_iter().zip(verbs(claims)).map(|(seen, claim)| seen.settle(claim)).collect())
    }

    pub(super) async fn release_those_owned(
        &self,
        session: &mut Session<'_>,
        batch: &[Release],
    ) -> Result<Vec<Answer<Written>>, Fault> {
        let seen = self.find(session, batch).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut own = Vec::new();
        for (at, (seen, release)) in seen.into_iter().zip(batch).enumerate() {
            let answer = seen.settle(release);
            if matches!(answer, Answer::Stale) {
                own.push((at, release));
            }
            answers.push(answer);
        }
        if !own.is_empty() {
            let released = self.release(session, &own).await;
            place(&mut answers, own, released, batch.len())?;
        }
        Ok(answers)
    }

    /// Releases of records that were the caller's when they were read.
    async fn release(
        &self,
        session: &mut Session<'_>,
        releases: &[(usize, &Release)],
    ) -> Result<Vec<Answer<Written>>, Fault> {
        let fields = asked::owned(verbs(releases), |release| release.owner);
        let count = session.execute(&self.statements.release, &[Value::Text(&fields)]).await?;
        if count == releases.len() as u64 {
            return Ok(all_done(releases));
        }
        let seen = self.find_again(session, verbs(releases)).await?;
        let answer = |(seen, release): (Seen, &Release)| {
            let is_there = seen.record().is_some_and(|record| record.owner == release.owner);
            if count == 0 || is_there {
                return seen.settle(release);
            }
            let message = "the database released some of these keys and did not say which";
            Answer::Settled(Err(StorageError::new(StorageErrorKind::Indeterminate, message)))
        };
        Ok(seen.into_iter().zip(verbs(releases)).map(answer).collect())
    }

    pub(super) async fn complete(
        &self,
        session: &mut Session<'_>,
        chunk: &Chunk<'_>,
    ) -> Result<Vec<Answer<Written>>, Fault> {
        let statement = &self.statements.complete[chunk.size()];
        let count = session.execute(statement, &chunk.values()).await?;
        if count == chunk.completes.len() as u64 {
            return Ok(all_done(&chunk.completes));
        }
        let seen = self.find_again(session, verbs(&chunk.completes)).await?;
        let seen = seen.into_iter().zip(verbs(&chunk.completes));
        Ok(seen.map(|(seen, complete)| seen.settle(complete)).collect())
    }
}

impl Runs<Claim> for Backend {
    async fn run(&self, batch: &[Claim]) -> Result<Vec<Answer<Claimed>>, Fault> {
        let statements = &self.statements.claims;
        let mut session = self.link.session().await?;
        let seen = self.find(&mut session, batch).await?;
        let (mut absent, mut expired) = (Vec::new(), Vec::new());
        let (mut lapsed, mut fences, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        let mut answers = Vec::with_capacity(batch.len());
        for (at, (seen, claim)) in seen.into_iter().zip(batch).enumerate() {
            let answer = match seen.path(claim) {
                Path::Answered(answer) => Answer::Settled(answer),
                Path::Insert { is_expired } => {
                    expired.extend(is_expired.then_some(claim));
                    absent.push((at, claim));
                    Answer::Stale
                }
                Path::TakeOver(fence) => {
                    lapsed.push((at, claim));
                    fences.push(fence);
                    Answer::Stale
                }
                Path::Park => {
                    parked.push((at, claim));
                    Answer::Stale
                }
            };
            answers.push(answer);
        }
        if !absent.is_empty() {
            let inserted = self.insert(&mut session, statements, &absent, &expired).await;
            place(&mut answers, absent, inserted, batch.len())?;
        }
        if !lapsed.is_empty() {
            let taken = self.take_over(&mut session, statements, &lapsed, &fences).await;
            place(&mut answers, lapsed, taken, batch.len())?;
        }
        if !parked.is_empty() {
            let found = self.park(&mut session, statements, &parked).await;
            place(&mut answers, parked, found, batch.len())?;
        }
        Ok(answers)
    }
}

impl Runs<Complete> for Backend {
    async fn run(&self, batch: &[Complete]) -> Result<Vec<Answer<Written>>, Fault> {
        let mut session = self.link.session().await?;
        let mut answers: Vec<_> = batch.iter().map(|_| Answer::Stale).collect();
        for chunk in chunks(batch) {
            // A result that is too large breaks the connection of the others.
            let written = match session.mend().await {
                Ok(()) => self.complete(&mut session, &chunk).await,
                Err(fault) => Err(fault),
            };
            place(&mut answers, chunk.completes, written, batch.len())?;
        }
        Ok(answers)
    }
}

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Vec<Answer<Written>>, Fault> {
        let mut session = self.link.session().await?;
        let fields = asked::owned(batch, |renew| renew.owner);
        let count = session.execute(&self.statements.renew, &[Value::Text(&fields)]).await?;
        if count == batch.len() as u64 {
            return Ok(all_done(batch));
        }
        let seen = self.find_again(&mut session, batch).await?;
        let answer = |(seen, renew): (Seen, &Renew)| match seen.row {
            // Nobody becomes the owner again, so the update has met it as well.
            Some(Ok(Some(record))) if is_at_work(&record, renew.owner) => {
                Answer::Settled(Ok(Written::Done))
            }
            row => Seen { row, ..seen }.settle(renew),
        };
        Ok(seen.into_iter().zip(batch).map(answer).collect())
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Vec<Answer<Written>>, Fault> {
        let mut session = self.link.session().await?;
        self.release_those_owned(&mut session, batch).await
    }
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys = asked::keys(keys);
        let rows = self.link.fetch(&self.statements.processing, &[Value::Text(&keys)]).await?;
        rows.iter().map(|row| key(row, 0)).collect()
    }
}

fn verbs<'a, V>(numbered: &'a [(usize, &'a V)]) -> impl Iterator<Item = &'a V> + Clone {
    numbered.iter().map(|(_, verb)| *verb)
}

fn all_done<V>(batch: &[V]) -> Vec<Answer<Written>> {
    batch.iter().map(|_| Answer::Settled(Ok(Written::Done))).collect()
}

/// Puts the answers of some verbs of a batch where they belong.
fn place<V, R>(
    answers: &mut [Answer<R>],
    verbs: Vec<(usize, &V)>,
    result: Result<Vec<Answer<R>>, Fault>,
    batch: usize,
) -> Result<(), Fault> {
    let mut result = match result {
        Ok(answers) => answers,
        Err(fault) if fault.then == Then::Split && batch > 1 => return Err(fault),
        Err(fault) => verbs.iter().map(|_| failed(&fault)).collect(),
    };
    for ((at, _), answer) in verbs.into_iter().zip(result.drain(..)) {
        answers[at] = answer;
    }
    Ok(())
}

/// The answer to verbs whose statement failed, while others of their batch have theirs.
fn failed<R>(fault: &Fault) -> Answer<R> {
    match fault.then {
        Then::Again => Answer::Stale,
        Then::Tell | Then::Split => Answer::Settled(Err(fault.error.clone())),
    }
}

/// A column of our own making.
pub(super) fn get<'r, T>(row: &'r MySqlRow, column: usize) -> Result<T, StorageError>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(|error| corrupt().with_source(error))
}

/// A column with a key, which is stored as bytes.
pub(super) fn key(row: &MySqlRow, column: usize) -> Result<String, StorageError> {
    String::from_utf8(get(row, column)?).map_err(|error| corrupt().with_source(error.utf8_error()))
}
