//! The verbs as sequences of statements.
//!
//! MySQL has no statement that writes and returns what it wrote. A write's row count is conclusive
//! when it is that of the whole batch (every verb was applied) or zero. Otherwise the rows are read
//! back, and the state machine decides by their owners what happened to each verb.
//!
//! | verb | statements |
//! |---|---|
//! | claim | read; insert a missing row; take over or park a row whose lease is over, or that is released; read back unless all were changed |
//! | renew, release | read; update the caller's rows; read back unless all were changed |
//! | complete | update; read back unless all were changed |
//!
//! | event between two statements | why it is safe |
//! |---|---|
//! | another process inserts the key | the insert fails as a whole, and the claim runs again |
//! | another process takes over first | the update's condition on the fence fails, and reading back finds the other owner |
//! | a takeover's own lease ends before it is read back | the row no longer shows who took over: the outcome is unknown |
//! | the owner of a parked operation completes it | the count of a single claim shows that it parked; in a batch the outcome is unknown |
//! | some renewals or releases of a batch are too late | for a record with another owner by now the outcome is unknown |
//! | this process dies, or the reply is lost | the same owner's next claim reads its own row: acquired; its next complete its own result: done |
//! | an expired row was removed and nothing inserted | an expired row counts as none |

use sqlx::mysql::MySqlRow;

use super::super::answers::{VerbAnswer, VerbAnswers, all_done, none_yet, place};
use super::super::connections::Share;
use super::super::group::RunsBatch;
use super::super::row::{corrupt, get};
use super::super::statement_error::{Rerun, StatementError};
use super::super::transaction::in_progress;
use super::super::verb::KeyedVerb;
use super::super::wakeups::Polls;
use super::arguments;
use super::completions::{Chunk, chunks};
use super::link::{MySqlLink, MySqlSession};
use super::lookup::{ClaimPath, Lookup, PARKED, Predecessor, lookups};
use super::statements::{ClaimStatements, MySqlStatements, Write};
use super::values::SqlValue;
use crate::key::RecordKey;
use crate::record::{Finished, Record, Status, Timestamp};
use crate::storage::{
    Claim, Claimed, Complete, Release, Renew, StorageError, StorageErrorKind, Written,
};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct MySqlBackend {
    pub(super) link: MySqlLink,
    pub(super) statements: MySqlStatements,
}

impl MySqlBackend {
    /// Reads the rows of verbs, one answer for each.
    pub(super) async fn find<'v, V: KeyedVerb>(
        &self,
        session: &mut MySqlSession<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Lookup>, StatementError> {
        let verbs = verbs.into_iter();
        let mut keys = verbs.clone().map(KeyedVerb::key);
        let rows = if let (Some(key), None) = (keys.next(), keys.next()) {
            let key = key.as_str().as_bytes();
            session.fetch(&self.statements.find_one, &[SqlValue::Bytes(key)]).await?
        } else {
            let keys = arguments::keys(verbs.clone().map(KeyedVerb::key));
            session.fetch(&self.statements.find, &[SqlValue::Text(&keys)]).await?
        };
        lookups(&rows, verbs.count())
    }

    /// Reads rows back after a write. Unlike elsewhere, an error does not mean that nothing
    /// changed.
    async fn find_again<'v, V: KeyedVerb>(
        &self,
        session: &mut MySqlSession<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Lookup>, StatementError> {
        self.find(session, verbs).await.map_err(|fault| {
            let message = "the outcome of the write is unknown: the database did not report it";
            let error = StorageError::new(StorageErrorKind::Indeterminate, message);
            StatementError { retry: Rerun::Never, error: error.with_source(fault.error) }
        })
    }

    /// Claims of keys without a row, or with an expired one.
    async fn insert(
        &self,
        session: &mut MySqlSession<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        expired: &[&Claim],
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        if !expired.is_empty() {
            let keys = arguments::keys(expired.iter().map(|claim| &claim.key));
            session.execute(&statements.remove_expired, &[SqlValue::Text(&keys)]).await?;
        }
        let fields = arguments::claims(verbs(claims));
        // It is refused as a whole where one of the keys has a row by now.
        session.execute(&statements.insert, &[SqlValue::Text(&fields)]).await?;
        Ok(claims.iter().map(|_| VerbAnswer::Settled(Ok(Claimed::FIRST))).collect())
    }

    /// Claims of keys of owners whose leases were over, or that were released.
    async fn take_over(
        &self,
        session: &mut MySqlSession<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        from: &[Predecessor],
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let fields = arguments::takeovers(verbs(claims).zip(from));
        let count = session.execute(&statements.take_over, &[SqlValue::Text(&fields)]).await?;
        if count == claims.len() as u64 {
            let acquired = |&Predecessor { held, has_died }: &Predecessor| Claimed::Acquired {
                fence: held.fence.next(),
                recovered: has_died,
            };
            return Ok(from
                .iter()
                .map(|before| VerbAnswer::Settled(Ok(acquired(before))))
                .collect());
        }
        let seen = self.find_again(session, verbs(claims)).await?;
        let answer = |((seen, claim), before): ((Lookup, &Claim), &Predecessor)| {
            let is_known = count == 0 || seen.tells_who_took(before.held, claim.owner);
            if is_known { seen.settle(claim) } else { changed() }
        };
        Ok(seen.into_iter().zip(verbs(claims)).zip(from).map(answer).collect())
    }

    /// Parks keys whose owner's lease was over by `now`.
    async fn park(
        &self,
        session: &mut MySqlSession<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        now: Timestamp,
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let fields = arguments::claims(verbs(claims));
        let moment = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let values = [SqlValue::Text(&fields), SqlValue::Integer(moment)];
        let count = session.execute(&statements.park, &values).await?;
        let end = Finished { at: now, finish: PARKED };
        let parked = || Claimed::Parked(end.clone());
        if count == claims.len() as u64 {
            return Ok(claims.iter().map(|_| VerbAnswer::Settled(Ok(parked()))).collect());
        }
        let seen = self.find_again(session, verbs(claims)).await?;
        let answer = |(seen, claim): (Lookup, &Claim)| {
            let is_known = count == 0 || seen.tells_whether_parked();
            match if is_known { seen.settle(claim) } else { changed() } {
                // Parked at this moment, by this claim or by one that came as early.
                VerbAnswer::Settled(Ok(Claimed::Replay(finished)))
                    if count > 0 && finished == end =>
                {
                    VerbAnswer::Settled(Ok(parked()))
                }
                answer => answer,
            }
        };
        Ok(seen.into_iter().zip(verbs(claims)).map(answer).collect())
    }

    pub(super) async fn release(
        &self,
        session: &mut MySqlSession<'_>,
        batch: &[Release],
    ) -> Result<VerbAnswers<Release>, StatementError> {
        let release = OwnersWrite { statement: &self.statements.release, leaves: false };
        self.write_those_owned(session, &release, batch).await
    }

    async fn write_those_owned<V: KeyedVerb<Reply = Written>>(
        &self,
        session: &mut MySqlSession<'_>,
        write: &OwnersWrite<'_>,
        batch: &[V],
    ) -> Result<VerbAnswers<V>, StatementError> {
        let seen = self.find(session, batch).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut own = Vec::new();
        for (at, (seen, verb)) in seen.into_iter().zip(batch).enumerate() {
            let answer = seen.settle(verb);
            if matches!(answer, VerbAnswer::Stale) {
                own.push((at, verb));
            }
            answers.push(answer);
        }
        if !own.is_empty() {
            let written = self.write(session, write, &own).await;
            place(&mut answers, places(&own), written);
        }
        Ok(answers)
    }

    /// Writes to records that were the caller's when they were read.
    async fn write<V: KeyedVerb<Reply = Written>>(
        &self,
        session: &mut MySqlSession<'_>,
        write: &OwnersWrite<'_>,
        own: &[(usize, &V)],
    ) -> Result<VerbAnswers<V>, StatementError> {
        let fields = arguments::owned(verbs(own));
        let count = session.execute(write.statement, &[SqlValue::Text(&fields)]).await?;
        if count == own.len() as u64 {
            return Ok(all_done(own.len()));
        }
        let seen = self.find_again(session, verbs(own)).await?;
        let answer = |(seen, verb): (Lookup, &V)| {
            let record = seen.record().filter(|record| record.owner == verb.owner());
            match record.map(Record::status) {
                _ if count == 0 => seen.settle(verb),
                // No owner returns: if the record is still the owner's, a renewal has changed it;
                // after a release the record itself shows whether that was applied.
                Some(Status::Processing) if write.leaves => VerbAnswer::Settled(Ok(Written::Done)),
                Some(_) if !write.leaves => seen.settle(verb),
                _ => changed(),
            }
        };
        Ok(seen.into_iter().zip(verbs(own)).map(answer).collect())
    }

    pub(super) async fn complete(
        &self,
        session: &mut MySqlSession<'_>,
        chunk: &Chunk<'_>,
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        let statement = &self.statements.complete[chunk.size()];
        let count = session.execute(statement, &chunk.values()).await?;
        if count == chunk.completes.len() as u64 {
            return Ok(all_done(chunk.completes.len()));
        }
        let seen = self.find_again(session, verbs(&chunk.completes)).await?;
        let seen = seen.into_iter().zip(verbs(&chunk.completes));
        Ok(seen.map(|(seen, complete)| seen.settle(complete)).collect())
    }
}

impl RunsBatch<Claim> for MySqlBackend {
    async fn run(&self, batch: &[Claim]) -> Result<VerbAnswers<Claim>, StatementError> {
        let mut session = self.link.session(Share::Claims).await?;
        let answers = self.claim(&mut session, batch).await;
        session.give_back();
        match (answers, batch) {
            // By an open transaction, which the record is part of.
            (Err(fault), [claim]) if fault.retry == Rerun::Locked => {
                Ok(vec![VerbAnswer::Settled(Ok(in_progress(claim)))])
            }
            (answers, _) => answers,
        }
    }
}

impl MySqlBackend {
    async fn claim(
        &self,
        session: &mut MySqlSession<'_>,
        batch: &[Claim],
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let seen = self.find(session, batch).await?;
        let paths = seen.into_iter().zip(batch).map(|(seen, claim)| seen.path(claim));
        self.follow(session, &self.statements.claims, batch, paths).await
    }

    /// Does what each claim does about its row.
    pub(super) async fn follow(
        &self,
        session: &mut MySqlSession<'_>,
        statements: &ClaimStatements,
        batch: &[Claim],
        paths: impl IntoIterator<Item = ClaimPath>,
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let (mut absent, mut expired) = (Vec::new(), Vec::new());
        let (mut lapsed, mut from, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = Timestamp::from_millis(0);
        let mut answers = Vec::with_capacity(batch.len());
        for (at, (path, claim)) in paths.into_iter().zip(batch).enumerate() {
            let answer = match path {
                ClaimPath::Answered(answer) => VerbAnswer::Settled(answer),
                ClaimPath::Insert { is_expired } => {
                    expired.extend(is_expired.then_some(claim));
                    absent.push((at, claim));
                    VerbAnswer::Stale
                }
                ClaimPath::TakeOver(before) => {
                    lapsed.push((at, claim));
                    from.push(before);
                    VerbAnswer::Stale
                }
                ClaimPath::Park(moment) => {
                    parked.push((at, claim));
                    // The same for all that were read at once.
                    now = moment;
                    VerbAnswer::Stale
                }
            };
            answers.push(answer);
        }
        let mut writes = Vec::new();
        if !absent.is_empty() {
            writes.push((&absent, self.insert(session, statements, &absent, &expired).await));
        }
        if !lapsed.is_empty() {
            writes.push((&lapsed, self.take_over(session, statements, &lapsed, &from).await));
        }
        if !parked.is_empty() {
            writes.push((&parked, self.park(session, statements, &parked, now).await));
        }
        for (claims, written) in writes {
            if batch.len() == 1 {
                return written;
            }
            place(&mut answers, places(claims), written);
        }
        Ok(answers)
    }
}

impl RunsBatch<Complete> for MySqlBackend {
    async fn run(&self, batch: &[Complete]) -> Result<VerbAnswers<Complete>, StatementError> {
        let mut session = self.link.session(Share::Outcomes).await?;
        let mut answers = none_yet(batch);
        for chunk in chunks(batch) {
            // A result that is too large breaks the connection of the others.
            let written = match session.mend().await {
                Ok(()) => self.complete(&mut session, &chunk).await,
                Err(fault) => Err(fault),
            };
            place(&mut answers, places(&chunk.completes), written);
        }
        session.give_back();
        Ok(answers)
    }
}

impl RunsBatch<Renew> for MySqlBackend {
    async fn run(&self, batch: &[Renew]) -> Result<VerbAnswers<Renew>, StatementError> {
        let renew = OwnersWrite { statement: &self.statements.renew, leaves: true };
        let mut session = self.link.session(Share::Renewals).await?;
        let answers = self.write_those_owned(&mut session, &renew, batch).await;
        session.give_back();
        answers
    }
}

impl RunsBatch<Release> for MySqlBackend {
    async fn run(&self, batch: &[Release]) -> Result<VerbAnswers<Release>, StatementError> {
        let mut session = self.link.session(Share::Outcomes).await?;
        let answers = self.release(&mut session, batch).await;
        session.give_back();
        answers
    }
}

/// A write by owners to their records.
struct OwnersWrite<'a> {
    statement: &'a Write,
    /// Whether its owner is still at work on a record afterwards.
    leaves: bool,
}

impl Polls for MySqlBackend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys = arguments::keys(keys);
        let rows = self.link.fetch(&self.statements.processing, &[SqlValue::Text(&keys)]).await?;
        rows.iter().map(|row| key(row, 0)).collect()
    }
}

fn verbs<'a, V>(numbered: &'a [(usize, &'a V)]) -> impl Iterator<Item = &'a V> + Clone {
    numbered.iter().map(|(_, verb)| *verb)
}

/// The answer where a write met some rows of a batch, and the rows do not show which.
fn changed<R>() -> VerbAnswer<R> {
    let message = "the outcome of the write is unknown: another owner changed the record meanwhile";
    VerbAnswer::Settled(Err(StorageError::new(StorageErrorKind::Indeterminate, message)))
}

fn places<'v, V>(numbered: &'v [(usize, &V)]) -> impl Iterator<Item = usize> + use<'v, V> {
    numbered.iter().map(|(at, _)| *at)
}

/// A column with a key, which is stored as bytes.
pub(super) fn key(row: &MySqlRow, column: usize) -> Result<String, StorageError> {
    String::from_utf8(get(row, column)?).map_err(|error| corrupt().with_source(error.utf8_error()))
}
