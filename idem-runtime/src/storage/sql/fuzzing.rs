//! The row's decoder, for a fuzzer. Not public API; exempt from semver.

use sqlx::sqlite::SqliteRow;

use super::row;
use crate::record::{Record, Timestamp};
use crate::storage::StorageError;

/// How many columns a record has.
pub const COLUMNS: usize = row::COLUMNS.len() + 1;

/// The record in these columns, unless there is none or it has expired at `now`.
///
/// # Errors
///
/// `Corrupt` or `NewerVersion`, as for every storage verb.
pub fn read(row: &SqliteRow, now: Timestamp) -> Result<Option<Record>, StorageError> {
    row::read(row, 0, now)
}
