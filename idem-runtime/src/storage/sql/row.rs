//! A row and the record that it holds.
//!
//! What may change a row is said in each database's statements. Everything else, what a row that was only read means to a verb, is
//! [`settle`]: it asks the one state machine, and gives an answer only where that changes nothing.

use std::time::Duration;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::answers::Answer;
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

/// How an operation ended, as columns.
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
        // Sizes beyond what the column holds do not occur; were it otherwise, they are read as they were written.
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

/// What a statement found under a key.
pub(super) type Found = Result<Option<Record>, StorageError>;

/// Reads the record from the columns that start at `first`; none where its version is `NULL`, or its retention is over at `now`.
///
/// A row that cannot be read is an error of kind `Corrupt` or `NewerVersion`. What its expiry means is the same in every version.
pub(super) fn read<R: Row>(row: &R, first: usize, now: Timestamp) -> Found
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    Reader { row, next: first }.record(now)
}

/// Takes columns from the left.
struct Reader<'a, R> {
    row: &'a R,
    next: usize,
}

impl<R: Row> Reader<'_, R>
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    fn record(mut self, now: Timestamp) -> Found {
        let Some(version) = self.optional::<i64>()? else { return Ok(None) };
        let expires_at = Timestamp::from_millis(self.positive()?);
        if expires_at <= now && expires_at != Timestamp::NEVER {
            return Ok(None);
        }
        match version {
            VERSION => {}
            2..=1000 => return Err(newer()),
            _ => return Err(corrupt()),
        }
        let status: String = self.required()?;
        let owner: Vec<u8> = self.required()?;
        let owner = OwnerId::from_bytes(owner.try_into().map_err(|_| corrupt())?);
        let fence = Fence::new(self.positive()?);
        let fingerprint: Vec<u8> = self.required()?;
        let fingerprint =
            Fingerprint::from_bytes(&fingerprint).map_err(|invalid| match invalid {
                InvalidFingerprint::UnknownAlgorithm => newer(),
                _ => corrupt(),
            })?;
        let on_crash = match self.required::<String>()?.as_str() {
            "retry" => CrashPolicy::Retry,
            "park" => CrashPolicy::Park,
            _ => return Err(corrupt()),
        };
        let recovered = match self.required::<i64>()? {
            0 => false,
            1 => true,
            _ => return Err(corrupt()),
        };
        let lease = Duration::from_millis(self.positive()?);
        let ttl = Duration::from_millis(self.positive()?);
        let lease_until = Timestamp::from_millis(self.positive()?);
        let finished_at = self.optional::<i64>()?;
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

    /// How the operation ended; none where it has not.
    fn finish(&mut self) -> Result<Option<Finish>, StorageError> {
        let codec = self.optional::<String>()?;
        let payload = self.optional::<Vec<u8>>()?;
        let failure = self.optional::<String>()?;
        let message = self.optional::<Vec<u8>>()?;
        let Some(size) = self.optional::<i64>()? else { return Ok(None) };
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
        u64::try_from(self.required::<i64>()?).map_err(|_| corrupt())
    }

    fn required<T>(&mut self) -> Result<T, StorageError>
    where
        T: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    {
        self.optional()?.ok_or_else(corrupt)
    }

    fn optional<T>(&mut self) -> Result<Option<T>, StorageError>
    where
        T: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| corrupt().with_source(error))
    }
}

/// The error for a row that is no record.
pub(super) fn corrupt() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "the stored record is damaged")
}

/// The error for a row that another version of this library can read.
fn newer() -> StorageError {
    let message = "the record was written by a newer version of this library";
    StorageError::new(StorageErrorKind::NewerVersion, message)
}

/// What a row that was read and not written says to a verb. Where the verb would have changed it, the row is not what the statement met.
pub(super) fn settle<E: Transition>(found: Found, verb: &E, now: Timestamp) -> Answer<E::Reply> {
    match found {
        Err(error) => Answer::Settled(Err(error)),
        Ok(found) => {
            let (after, reply) = step(found.clone(), verb, now);
            if after == found { Answer::Settled(Ok(reply)) } else { Answer::Stale }
        }
    }
}

/// What a claim that changed the row has done to it: it is the caller's now, or it was parked.
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

/// A moment as the database told it.
pub(super) fn timestamp(now: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(now).unwrap_or(0))
}

/// Most records of a page, whatever is asked for.
pub(super) const LONGEST_PAGE: usize = 10_000;

/// A page of a scan, from rows in the order of their keys, of which at most `limit` were asked for.
pub(super) fn page(rows: Vec<(String, Found)>, limit: usize) -> Page {
    let next = rows.last().filter(|_| rows.len() >= limit).map(|(key, _)| Cursor(key.clone()));
    let records = rows
        .into_iter()
        .filter_map(|(key, found)| Some((RecordKey::from_stored(key), found.transpose()?)));
    Page { records: records.collect(), next }
}
