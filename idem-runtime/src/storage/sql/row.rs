//! A row and its record.
//!
//! Each dialect's statements decide which verb changes a row. [`settle`] decides what an unchanged
//! row means to a verb: it asks the state machine, and answers only where that changes nothing.

use std::time::Duration;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::answers::VerbAnswer;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
use super::statement_error::StatementError;
use crate::fingerprint::{Fingerprint, InvalidFingerprint};
use crate::key::RecordKey;
use crate::record::{
    CodecTag, CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State,
    Timestamp, millis,
};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::storage::Claimed;
use crate::storage::transition::{Transition, step};
use crate::storage::{Cursor, Page, StorageError, StorageErrorKind};

/// Version of the rows that this library writes.
pub(super) const VERSION: i64 = 1;

/// The columns that [`read`] expects, in its order.
pub(super) const COLUMNS: [&str; 16] = [
    "version",
    "expires_at",
    "status",
    "owner",
    "fence",
    "fingerprint",
    "on_crash",
    "recovered",
    "lease_ms",
    "ttl_ms",
    "lease_until",
    "finished_at",
    "codec",
    "payload",
    "failure",
    "message",
];

/// The column that follows [`COLUMNS`].
pub(super) const SIZE: &str = "size";

/// All columns that [`read`] expects, of the table or alias `of`.
pub(super) fn columns(of: &str) -> String {
    let columns = COLUMNS.iter().chain([&SIZE]).map(|column| format!("{of}.{column}"));
    columns.collect::<Vec<_>>().join(", ")
}

/// Durations are clamped to this, as in the other storages: sums of them stay far from overflow.
const MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A lease or ttl in the milliseconds of its column: at most 100 years.
pub(super) fn clamped_millis(duration: Duration) -> i64 {
    i64::try_from(millis(duration.min(MAX))).unwrap_or(i64::MAX)
}

pub(super) fn policy(policy: CrashPolicy) -> &'static str {
    match policy {
        CrashPolicy::Retry => "retry",
        CrashPolicy::Park => "park",
    }
}

/// The outcome of an operation, as columns.
#[derive(Debug)]
pub(super) struct FinishColumns<'a> {
    pub(super) status: &'static str,
    pub(super) codec: Option<&'a str>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) failure: Option<&'static str>,
    pub(super) message: Option<&'a [u8]>,
    pub(super) size: i64,
}

impl<'a> FinishColumns<'a> {
    pub(super) fn of(finish: &'a Finish) -> Self {
        let (mut payload, mut message, mut too_large) = (None, None, None);
        let (status, failure) = match finish {
            Finish::Completed(result) => {
                payload = Some(result);
                ("completed", None)
            }
            Finish::Failed(Failure::Error { message: text, typed }) => {
                message = Some(text.as_bytes());
                payload = typed.as_ref();
                ("failed", Some("error"))
            }
            Finish::Failed(Failure::TooLarge { size }) => {
                too_large = Some(*size);
                ("failed", Some("too_large"))
            }
            Finish::Failed(Failure::Unserializable) => ("failed", Some("unserializable")),
            Finish::Failed(Failure::Indeterminate) => ("failed", Some("indeterminate")),
        };
        let stored =
            payload.map_or(0, |payload| payload.bytes.len()) + message.map_or(0, <[u8]>::len);
        // Sizes beyond what the column holds do not occur; were it otherwise, they are read as they
        // were written.
        let size = too_large.unwrap_or(stored as u64).cast_signed();
        Self {
            status,
            codec: payload.map(|payload| payload.codec.as_str()),
            payload: payload.map(|payload| &payload.bytes[..]),
            failure,
            message,
            size,
        }
    }
}

/// The record that a statement found under a key.
pub(crate) type FoundRecord = Result<Option<Record>, StorageError>;

/// A row that a record can be read from.
pub(super) trait RecordRow: Row {
    fn integer(&self, column: usize) -> sqlx::Result<Option<i64>>;
    fn text(&self, column: usize) -> sqlx::Result<Option<String>>;
    fn bytes(&self, column: usize) -> sqlx::Result<Option<Vec<u8>>>;
}

impl<R: Row> RecordRow for R
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    fn integer(&self, column: usize) -> sqlx::Result<Option<i64>> {
        self.try_get(column)
    }

    fn text(&self, column: usize) -> sqlx::Result<Option<String>> {
        self.try_get(column)
    }

    fn bytes(&self, column: usize) -> sqlx::Result<Option<Vec<u8>>> {
        self.try_get(column)
    }
}

/// A column of a statement's own making.
pub(super) fn get<'r, T, R>(row: &'r R, column: usize) -> Result<T, StorageError>
where
    R: Row,
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(column).map_err(|error| corrupt().with_source(error))
}

/// Reads the record from the columns that start at `first`; none where its version is `NULL`, or
/// its retention is over at `now`.
///
/// A row that cannot be read is an error of kind `Corrupt` or `NewerVersion`. The expiry has the
/// same meaning in every version.
pub(super) fn read(row: &impl RecordRow, first: usize, now: Timestamp) -> FoundRecord {
    ColumnReader { row, next: first }.record(now)
}

/// Takes columns from the left.
struct ColumnReader<'a, R> {
    row: &'a R,
    next: usize,
}

impl<R: RecordRow> ColumnReader<'_, R> {
    fn record(mut self, now: Timestamp) -> FoundRecord {
        let Some(version) = self.optional(R::integer)? else { return Ok(None) };
        let expires_at = Timestamp::from_millis(self.positive()?);
        if expires_at <= now && expires_at != Timestamp::NEVER {
            return Ok(None);
        }
        match version {
            VERSION => {}
            2..=1000 => return Err(newer()),
            _ => return Err(corrupt()),
        }
        let status = self.required(R::text)?;
        let owner = self.required(R::bytes)?;
        let owner = OwnerId::from_bytes(owner.try_into().map_err(|_| corrupt())?);
        let fence = Fence::new(self.positive()?);
        let fingerprint = self.required(R::bytes)?;
        let fingerprint =
            Fingerprint::from_bytes(&fingerprint).map_err(|invalid| match invalid {
                InvalidFingerprint::UnknownAlgorithm => newer(),
                _ => corrupt(),
            })?;
        let on_crash = match self.required(R::text)?.as_str() {
            "retry" => CrashPolicy::Retry,
            "park" => CrashPolicy::Park,
            _ => return Err(corrupt()),
        };
        let recovered = match self.required(R::integer)? {
            0 => false,
            1 => true,
            _ => return Err(corrupt()),
        };
        let lease = Duration::from_millis(self.positive()?);
        let ttl = Duration::from_millis(self.positive()?);
        let lease_until = Timestamp::from_millis(self.positive()?);
        let finished_at = self.optional(R::integer)?;
        let finish = self.finish()?;
        let state = match (status.as_str(), finished_at, finish) {
            ("processing", None, None) => {
                State::Processing { lease, lease_until, ttl, on_crash, recovered }
            }
            ("released", None, None) => State::Released,
            ("completed", Some(at), Some(finish @ Finish::Completed(_)))
            | ("failed", Some(at), Some(finish @ Finish::Failed(_))) => {
                let at = Timestamp::from_millis(u64::try_from(at).map_err(|_| corrupt())?);
                State::Finished(Finished { at, finish })
            }
            _ => return Err(corrupt()),
        };
        Ok(Some(Record { fingerprint, owner, fence, state, expires_at }))
    }

    /// The outcome; `None` where there is none yet.
    fn finish(&mut self) -> Result<Option<Finish>, StorageError> {
        let codec = self.optional(R::text)?;
        let payload = self.optional(R::bytes)?;
        let failure = self.optional(R::text)?;
        let message = self.optional(R::bytes)?;
        let Some(size) = self.optional(R::integer)? else { return Ok(None) };
        let size = size.cast_unsigned();
        let stored = payload.as_ref().map_or(0, Vec::len) + message.as_ref().map_or(0, Vec::len);
        let is_whole = stored as u64 == size;

        let payload = match (codec, payload) {
            (None, None) => None,
            (Some(codec), Some(bytes)) => {
                let codec = CodecTag::new(&codec).ok_or_else(corrupt)?;
                Some(Payload { codec, bytes: bytes.into() })
            }
            _ => return Err(corrupt()),
        };
        let finish = match (failure.as_deref(), payload, message) {
            (None, Some(payload), None) if is_whole => Finish::Completed(payload),
            (Some("error"), typed, Some(message)) if is_whole => {
                let message = String::from_utf8(message).map_err(|_| corrupt())?;
                Finish::Failed(Failure::Error { message, typed })
            }
            (Some("too_large"), None, None) => Finish::Failed(Failure::TooLarge { size }),
            (Some("unserializable"), None, None) => Finish::Failed(Failure::Unserializable),
            (Some("indeterminate"), None, None) => Finish::Failed(Failure::Indeterminate),
            (Some("error" | "too_large" | "unserializable" | "indeterminate") | None, ..) => {
                return Err(corrupt());
            }
            // A failure that this version does not know.
            (Some(_), ..) => return Err(newer()),
        };
        Ok(Some(finish))
    }

    fn positive(&mut self) -> Result<u64, StorageError> {
        u64::try_from(self.required(R::integer)?).map_err(|_| corrupt())
    }

    fn required<T>(&mut self, column: Column<R, T>) -> Result<T, StorageError> {
        self.optional(column)?.ok_or_else(corrupt)
    }

    fn optional<T>(&mut self, column: Column<R, T>) -> Result<Option<T>, StorageError> {
        self.next += 1;
        column(self.row, self.next - 1).map_err(|error| corrupt().with_source(error))
    }
}

/// Reads a column of a row.
type Column<R, T> = fn(&R, usize) -> sqlx::Result<Option<T>>;

/// The error for a row that cannot be decoded.
pub(super) fn corrupt() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "the stored record is damaged")
}

/// The error for a row that another version of this library can read.
fn newer() -> StorageError {
    let message = "the record was written by a newer version of this library";
    StorageError::new(StorageErrorKind::NewerVersion, message)
}

/// The answer of an unchanged row to a verb. If the verb would change it, the row is another one
/// than the statement met: the answer is `Stale`.
pub(super) fn settle<E: Transition>(
    found: FoundRecord,
    verb: &E,
    now: Timestamp,
) -> VerbAnswer<E::Reply> {
    match found {
        Err(error) => VerbAnswer::Settled(Err(error)),
        Ok(found) => {
            let (after, reply) = step(found.clone(), verb, now);
            if after == found { VerbAnswer::Settled(Ok(reply)) } else { VerbAnswer::Stale }
        }
    }
}

/// The answer to a claim that changed the row: acquired or parked.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn won(
    status: &str,
    fence: i64,
    recovered: i64,
    finished_at: Option<i64>,
) -> Result<Claimed, StorageError> {
    let number = |number: i64| u64::try_from(number).map_err(|_| corrupt());
    match (status, finished_at) {
        ("processing", None) => {
            let (fence, recovered) = (Fence::new(number(fence)?), recovered == 1);
            Ok(Claimed::Acquired { fence, recovered })
        }
        ("failed", Some(at)) => Ok(Claimed::Parked(Finished {
            at: Timestamp::from_millis(number(at)?),
            finish: Finish::Failed(Failure::Indeterminate),
        })),
        _ => Err(corrupt()),
    }
}

/// A moment of the database's clock.
pub(super) fn timestamp(now: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(now).unwrap_or(0))
}

/// Most records of a page, whatever is asked for.
pub(super) const MAX_PAGE: usize = 10_000;

/// A number of rows as the argument of a statement.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The record that a load found, from at most one row: `now` and the columns of the record.
pub(super) fn loaded<R: RecordRow>(rows: &[R]) -> FoundRecord {
    let Some(row) = rows.first() else { return Ok(None) };
    read(row, 1, moment(row)?)
}

/// A page of a scan, from rows in the order of their keys, of which at most `limit` were asked for:
/// `now`, the key and the columns of the record.
pub(super) fn scanned<R: RecordRow>(
    rows: &[R],
    limit: usize,
    key: impl Fn(&R) -> Result<String, StorageError>,
) -> Result<Page, StorageError> {
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let key = RecordKey::from_stored(key(row)?);
        records.extend(read(row, 2, moment(row)?).transpose().map(|record| (key, record)));
    }
    let last = rows.last().filter(|_| rows.len() >= limit);
    Ok(Page { records, next: last.map(key).transpose()?.map(Cursor) })
}

/// A row of a batch, `number, now` and the columns of the record: the verb's place in the batch,
/// the moment, and the record.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn numbered(
    row: &impl RecordRow,
) -> Result<(usize, Timestamp, FoundRecord), StatementError> {
    let integer = |column| {
        let value = row.integer(column).map_err(|error| corrupt().with_source(error));
        value.and_then(|value| value.ok_or_else(corrupt)).map_err(StatementError::unreadable)
    };
    let (number, now) = (integer(0)?, timestamp(integer(1)?));
    Ok((usize::try_from(number - 1).unwrap_or(usize::MAX), now, read(row, 2, now)))
}

/// The moment of the statement, in its first column.
fn moment(row: &impl RecordRow) -> Result<Timestamp, StorageError> {
    let now = row.integer(0).map_err(|error| corrupt().with_source(error))?;
    Ok(timestamp(now.ok_or_else(corrupt)?))
}
