//! The verbs as sequences of statements.
//!
//! MySQL has no statement that writes and returns what it wrote. A write's row count is conclusive
//! when it is that of the whole batch (every verb was applied) or zero. Otherwise the rows are read
//! back, and the state machine decides by their owners what happened to each verb.
//!
//! | verb | statements |
//! |---|---|
//! | claim | read; insert where nothing was; take over or park where a lease was over, or the key released, and read back if that did not meet all |
//! | renew, release | read; update those of the caller; read back if that did not meet all |
//! | complete | update; read back if it did not meet all |
//!
//! | what happens between two statements | why that is all right |
//! |---|---|
//! | another process inserts the key | the insert is refused as a whole, and the claim goes again |
//! | another process takes over first | the update does not meet its conditions, which name the fence, and reading back finds the other's id |
//! | a takeover's own lease ends before it is read back | the row no longer shows who took over: the outcome is unknown |
//! | a parked operation's owner says how it ended | the count of a single claim shows that it parked; in a batch the outcome is unknown |
//! | some renewals or releases of a batch are too late | for a record with another owner by now the outcome is unknown |
//! | this process dies, or the reply is lost | the same owner's next claim reads its own row: acquired; its next complete its own result: done |
//! | an expired row was removed and nothing inserted | an expired row counts as none |

use sqlx::mysql::MySqlRow;

use super::super::answers::{Answer, Answers, all_done, none_yet, place};
use super::super::connections::Share;
use super::super::group::Runs;
use super::super::row::{corrupt, get};
use super::super::statement_error::{Retry, StatementError};
use super::super::transaction::in_progress;
use super::super::verb::Verb;
use super::super::wakeups::Polls;
use super::arguments;
use super::completions::{Chunk, chunks};
use super::link::{Link, Session};
use super::lookup::{ClaimPath, Lookup, PARKED, Predecessor, lookups};
use super::statements::{ClaimStatements, Statements, Write};
use super::values::Value;
use crate::key::RecordKey;
use crate::record::{Fence, Finished, OwnerId, Record, Status, Timestamp};
use crate::storage::{
    Claim, Claimed, Complete, Release, Renew, StorageError, StorageErrorKind, Written,
};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(super) link: Link,
    pub(super) statements: Statements,
}

impl Backend {
    /// Reads the rows of verbs, one answer for each.
    pub(super) async fn find<'v, V: Verb>(
        &self,
        session: &mut Session<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Lookup>, StatementError> {
        let verbs = verbs.into_iter();
        let mut keys = verbs.clone().map(Verb::key);
        let rows = if let (Some(key), None) = (keys.next(), keys.next()) {
            let key = key.as_str().as_bytes();
            session.fetch(&self.statements.find_one, &[Value::Bytes(key)]).await?
        } else {
            let keys = arguments::keys(verbs.clone().map(Verb::key));
            session.fetch(&self.statements.find, &[Value::Text(&keys)]).await?
        };
        lookups(&rows, verbs.count())
    }

    /// Reads back what a write made of rows: an error here no longer means that nothing changed.
    async fn find_again<'v, V: Verb>(
        &self,
        session: &mut Session<'_>,
        verbs: impl IntoIterator<Item = &'v V, IntoIter: Clone>,
    ) -> Result<Vec<Lookup>, StatementError> {
        self.find(session, verbs).await.map_err(|fault| {
            let message = "the outcome of the write is unknown: the database did not report it";
            let error = StorageError::new(StorageErrorKind::Indeterminate, message);
            StatementError { retry: Retry::Never, error: error.with_source(fault.error) }
        })
    }

    /// Claims of keys without a row, or with an expired one.
    pub(super) async fn insert(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        expired: &[&Claim],
    ) -> Result<Answers<Claim>, StatementError> {
        if !expired.is_empty() {
            let keys = arguments::keys(expired.iter().map(|claim| &claim.key));
            session.execute(&statements.remove_expired, &[Value::Text(&keys)]).await?;
        }
        let fields = arguments::claims(verbs(claims));
        // It is refused as a whole where one of the keys has a row by now.
        session.execute(&statements.insert, &[Value::Text(&fields)]).await?;
        let acquired =
            || Answer::Settled(Ok(Claimed::Acquired { fence: Fence::FIRST, recovered: false }));
        Ok(claims.iter().map(|_| acquired()).collect())
    }

    /// Claims of keys of owners whose leases were over, or that were released.
    pub(super) async fn take_over(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        from: &[Predecessor],
    ) -> Result<Answers<Claim>, StatementError> {
        let fields = arguments::takeovers(verbs(claims).zip(from));
        let count = session.execute(&statements.take_over, &[Value::Text(&fields)]).await?;
        if count == claims.len() as u64 {
            let acquired = |&Predecessor { held, has_died }: &Predecessor| Claimed::Acquired {
                fence: held.fence.next(),
                recovered: has_died,
            };
            return Ok(from.iter().map(|before| Answer::Settled(Ok(acquired(before)))).collect());
        }
        let seen = self.find_again(session, verbs(claims)).await?;
        let answer = |((seen, claim), before): ((Lookup, &Claim), &Predecessor)| {
            let is_known = count == 0 || seen.tells_who_took(before.held, claim.owner);
            if is_known { seen.settle(claim) } else { changed() }
        };
        Ok(seen.into_iter().zip(verbs(claims)).zip(from).map(answer).collect())
    }

    /// Claims of keys whose owner's lease was over by `now` and who is not to be followed.
    pub(super) async fn park(
        &self,
        session: &mut Session<'_>,
        statements: &ClaimStatements,
        claims: &[(usize, &Claim)],
        now: Timestamp,
    ) -> Result<Answers<Claim>, StatementError> {
        let fields = arguments::claims(verbs(claims));
        let moment = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let values = [Value::Text(&fields), Value::Integer(moment)];
        let count = session.execute(&statements.park, &values).await?;
        let end = Finished { at: now, finish: PARKED };
        let parked = || Claimed::Parked(end.clone());
        if count == claims.len() as u64 {
            return Ok(claims.iter().map(|_| Answer::Settled(Ok(parked()))).collect());
        }
        let seen = self.find_again(session, verbs(claims)).await?;
        let answer = |(seen, claim): (Lookup, &Claim)| {
            let is_known = count == 0 || seen.tells_whether_parked();
            match if is_known { seen.settle(claim) } else { changed() } {
                // Parked at this moment, by this claim or by one that came as early.
                Answer::Settled(Ok(Claimed::Replay(finished))) if count > 0 && finished == end => {
                    Answer::Settled(Ok(parked()))
                }
                answer => answer,
            }
        };
        Ok(seen.into_iter().zip(verbs(claims)).map(answer).collect())
    }

    pub(super) async fn release(
        &self,
        session: &mut Session<'_>,
        batch: &[Release],
    ) -> Result<Answers<Release>, StatementError> {
        let release = OwnersWrite {
            statement: &self.statements.release,
            owner: |release: &Release| release.owner,
            leaves: false,
        };
        self.write_those_owned(session, &release, batch).await
    }

    async fn write_those_owned<V: Verb<Reply = Written>>(
        &self,
        session: &mut Session<'_>,
        write: &OwnersWrite<'_, V>,
        batch: &[V],
    ) -> Result<Answers<V>, StatementError> {
        let seen = self.find(session, batch).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut own = Vec::new();
        for (at, (seen, verb)) in seen.into_iter().zip(batch).enumerate() {
            let answer = seen.settle(verb);
            if matches!(answer, Answer::Stale) {
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
    async fn write<V: Verb<Reply = Written>>(
        &self,
        session: &mut Session<'_>,
        write: &OwnersWrite<'_, V>,
        own: &[(usize, &V)],
    ) -> Result<Answers<V>, StatementError> {
        let fields = arguments::owned(verbs(own), write.owner);
        let count = session.execute(write.statement, &[Value::Text(&fields)]).await?;
        if count == own.len() as u64 {
            return Ok(all_done(own.len()));
        }
        let seen = self.find_again(session, verbs(own)).await?;
        let answer = |(seen, verb): (Lookup, &V)| {
            let record = seen.record().filter(|record| record.owner == (write.owner)(verb));
            match record.map(Record::status) {
                _ if count == 0 => seen.settle(verb),
                // Nobody becomes the owner again: a write that leaves its owner at work has met the
                // record, and of one that does not the record itself says whether it has.
                Some(Status::Processing) if write.leaves => Answer::Settled(Ok(Written::Done)),
                Some(_) if !write.leaves => seen.settle(verb),
                _ => changed(),
            }
        };
        Ok(seen.into_iter().zip(verbs(own)).map(answer).collect())
    }

    pub(super) async fn complete(
        &self,
        session: &mut Session<'_>,
        chunk: &Chunk<'_>,
    ) -> Result<Answers<Complete>, StatementError> {
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

impl Runs<Claim> for Backend {
    async fn run(&self, batch: &[Claim]) -> Result<Answers<Claim>, StatementError> {
        let mut session = self.link.session(Share::Claims).await?;
        let answers = self.claim(&mut session, batch).await;
        session.give_back();
        match (answers, batch) {
            // By an open transaction, which the record is part of.
            (Err(fault), [claim]) if fault.retry == Retry::Locked => {
                Ok(vec![Answer::Settled(Ok(in_progress(claim)))])
            }
            (answers, _) => answers,
        }
    }
}

impl Backend {
    async fn claim(
        &self,
        session: &mut Session<'_>,
        batch: &[Claim],
    ) -> Result<Answers<Claim>, StatementError> {
        let statements = &self.statements.claims;
        let seen = self.find(session, batch).await?;
        let (mut absent, mut expired) = (Vec::new(), Vec::new());
        let (mut lapsed, mut from, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = Timestamp::from_millis(0);
        let mut answers = Vec::with_capacity(batch.len());
        for (at, (seen, claim)) in seen.into_iter().zip(batch).enumerate() {
            let answer = match seen.path(claim) {
                ClaimPath::Answered(answer) => Answer::Settled(answer),
                ClaimPath::Insert { is_expired } => {
                    expired.extend(is_expired.then_some(claim));
                    absent.push((at, claim));
                    Answer::Stale
                }
                ClaimPath::TakeOver(before) => {
                    lapsed.push((at, claim));
                    from.push(before);
                    Answer::Stale
                }
                ClaimPath::Park(moment) => {
                    parked.push((at, claim));
                    // The same for all that were read at once.
                    now = moment;
                    Answer::Stale
                }
            };
            answers.push(answer);
        }
        if !absent.is_empty() {
            let inserted = self.insert(session, statements, &absent, &expired).await;
            if batch.len() == 1 {
                return inserted;
            }
            place(&mut answers, places(&absent), inserted);
        }
        if !lapsed.is_empty() {
            let taken = self.take_over(session, statements, &lapsed, &from).await;
            if batch.len() == 1 {
                return taken;
            }
            place(&mut answers, places(&lapsed), taken);
        }
        if !parked.is_empty() {
            let found = self.park(session, statements, &parked, now).await;
            if batch.len() == 1 {
                return found;
            }
            place(&mut answers, places(&parked), found);
        }
        Ok(answers)
    }
}

impl Runs<Complete> for Backend {
    async fn run(&self, batch: &[Complete]) -> Result<Answers<Complete>, StatementError> {
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

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Answers<Renew>, StatementError> {
        let renew = OwnersWrite {
            statement: &self.statements.renew,
            owner: |renew: &Renew| renew.owner,
            leaves: true,
        };
        let mut session = self.link.session(Share::Renewals).await?;
        let answers = self.write_those_owned(&mut session, &renew, batch).await;
        session.give_back();
        answers
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Answers<Release>, StatementError> {
        let mut session = self.link.session(Share::Outcomes).await?;
        let answers = self.release(&mut session, batch).await;
        session.give_back();
        answers
    }
}

/// A write to records whose owners ask for it.
struct OwnersWrite<'a, V> {
    statement: &'a Write,
    owner: fn(&V) -> OwnerId,
    /// Whether its owner is still at work on a record afterwards.
    leaves: bool,
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys = arguments::keys(keys);
        let rows = self.link.fetch(&self.statements.processing, &[Value::Text(&keys)]).await?;
        rows.iter().map(|row| key(row, 0)).collect()
    }
}

fn verbs<'a, V>(numbered: &'a [(usize, &'a V)]) -> impl Iterator<Item = &'a V> + Clone {
    numbered.iter().map(|(_, verb)| *verb)
}

/// The answer where a write met some rows of a batch, and the rows do not show which.
fn changed<R>() -> Answer<R> {
    let message = "the outcome of the write is unknown: another owner changed the record meanwhile";
    Answer::Settled(Err(StorageError::new(StorageErrorKind::Indeterminate, message)))
}

fn places<'v, V>(numbered: &'v [(usize, &V)]) -> impl Iterator<Item = usize> + use<'v, V> {
    numbered.iter().map(|(at, _)| *at)
}

/// A column with a key, which is stored as bytes.
pub(super) fn key(row: &MySqlRow, column: usize) -> Result<String, StorageError> {
    String::from_utf8(get(row, column)?).map_err(|error| corrupt().with_source(error.utf8_error()))
}
