//! The two tables, and what is read from and written to them in one transaction.

use std::ops::Bound;

use idempotency::key::RecordKey;
use idempotency::record::{Record, Timestamp};
use idempotency::storage::StorageError;
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use crate::error::{not_applied, unknown};

/// The records, as [`Record::encode`] gives them, under their keys.
pub const RECORDS: TableDefinition<'static, &str, &[u8]> =
    TableDefinition::new("idempotency_records");

/// When which record expires, so that a purge reads no records: neither those that stay, nor any that it could not read.
const EXPIRIES: TableDefinition<'static, (u64, &str), ()> =
    TableDefinition::new("idempotency_expiries");

/// A row of a scan: an unreadable record is its error.
pub(crate) type Row = (RecordKey, Result<Record, StorageError>);

/// What was committed at one moment.
pub(crate) struct Reading(ReadOnlyTable<&'static str, &'static [u8]>);

impl Reading {
    pub(crate) fn begin(database: &Database) -> Result<Self, StorageError> {
        let transaction = database.begin_read().map_err(not_applied)?;
        transaction.open_table(RECORDS).map(Self).map_err(not_applied)
    }

    pub(crate) fn record(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        decoded(&self.0, key)
    }

    /// About so many rows behind a key, and the key that the next page follows.
    pub(crate) fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Row>, Option<String>), StorageError> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.0.range::<&str>((behind, Bound::Unbounded)).map_err(not_applied)?;
        let mut page = Vec::new();
        for row in rows.take(limit) {
            let (key, bytes) = row.map_err(not_applied)?;
            page.push((RecordKey::from_stored(key.value()), Record::decode(bytes.value())));
        }
        let last = page.last().filter(|_| page.len() == limit);
        let next = last.map(|(key, _)| key.as_str().to_owned());
        Ok((page, next))
    }
}

/// Changes that are made together or, unless they are committed, not at all.
pub(crate) struct Writing(WriteTransaction);

impl Writing {
    /// Waits until no other transaction writes.
    pub(crate) fn begin(database: &Database) -> Result<Self, StorageError> {
        // Its durability is redb's default, `Immediate`: a commit returns when it is on the disk.
        database.begin_write().map(Self).map_err(not_applied)
    }

    pub(crate) fn make_tables(&self) -> Result<(), StorageError> {
        self.0.open_table(RECORDS).map_err(not_applied)?;
        self.0.open_table(EXPIRIES).map_err(not_applied)?;
        Ok(())
    }

    pub(crate) fn record(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        decoded(&self.0.open_table(RECORDS).map_err(not_applied)?, key)
    }

    /// Puts a record in the place of another, which it was read as in this transaction.
    pub(crate) fn replace(
        &self,
        key: &RecordKey,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Result<(), StorageError> {
        let key = key.as_str();
        let mut records = self.0.open_table(RECORDS).map_err(not_applied)?;
        let mut expiries = self.0.open_table(EXPIRIES).map_err(not_applied)?;
        if let Some(expires_at) = before.and_then(expiry) {
            expiries.remove((expires_at, key)).map_err(not_applied)?;
        }
        match after {
            Some(record) => records.insert(key, &*record.encode()).map_err(not_applied)?,
            None => records.remove(key).map_err(not_applied)?,
        };
        if let Some(expires_at) = after.and_then(expiry) {
            expiries.insert((expires_at, key), ()).map_err(not_applied)?;
        }
        Ok(())
    }

    /// Removes at most `limit` records whose retention is over at `now`, and says how many.
    pub(crate) fn remove_expired(&self, now: Timestamp, limit: usize) -> Result<u64, StorageError> {
        let mut records = self.0.open_table(RECORDS).map_err(not_applied)?;
        let mut expiries = self.0.open_table(EXPIRIES).map_err(not_applied)?;
        let mut over = Vec::new();
        for row in expiries.iter().map_err(not_applied)?.take(limit) {
            let (row, ()) = row.map(|(row, unit)| (row, unit.value())).map_err(not_applied)?;
            let (expires_at, key) = row.value();
            if expires_at > now.as_millis() {
                break;
            }
            over.push((expires_at, key.to_owned()));
        }
        for (expires_at, key) in &over {
            expiries.remove((*expires_at, &**key)).map_err(not_applied)?;
            records.remove(&**key).map_err(not_applied)?;
        }
        Ok(over.len() as u64)
    }

    pub(crate) fn commit(self) -> Result<(), StorageError> {
        self.0.commit().map_err(unknown)
    }
}

/// The moment under which a record is found when it has expired; none for one that does not expire.
fn expiry(record: &Record) -> Option<u64> {
    Some(record.expires_at).filter(|at| *at != Timestamp::NEVER).map(Timestamp::as_millis)
}

fn decoded(
    records: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &RecordKey,
) -> Result<Option<Record>, StorageError> {
    let bytes = records.get(key.as_str()).map_err(not_applied)?;
    bytes.map(|bytes| Record::decode(bytes.value())).transpose()
}
