//! The statements, with as many rows of arguments as a batch needs.
//!
//! SQLite takes no arrays, so a batch is a list of `VALUES`. Its length is rounded up to a power of
//! two and filled with `NULL`s, so that there are few texts, and each is prepared once.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::super::conditions::{
    SOUND, claims_expiry, completions_expiry, on_conflict, open, purge_after, released,
};
use super::super::row;
use super::super::table::Table;

/// This moment, in milliseconds since the Unix epoch: the same in a whole statement.
const NOW: &str = "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

/// A statement on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum BatchVerb {
    /// The existing rows: `number, now` and the columns of the record.
    Look,
    /// The claims that got their key: `key, status, fence, recovered, finished_at`.
    Claim,
    /// The keys whose lease was extended.
    Renew,
    /// The keys whose result was recorded.
    Complete,
    /// The keys that were released.
    Release,
}

impl BatchVerb {
    /// The arguments of each verb.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Look => &["key"],
            Self::Claim => &["key", "owner", "fingerprint", "on_crash", "lease_ms", "ttl_ms"],
            Self::Renew | Self::Release => &["key", "owner"],
            Self::Complete => &[
                "key", "owner", "ttl_ms", "status", "codec", "payload", "failure", "message",
                "size",
            ],
        }
    }
}

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct SqliteStatements {
    table: String,
    batches: Mutex<HashMap<(BatchVerb, usize), Arc<str>>>,
    pub(super) load: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) purge: Arc<str>,
}

impl SqliteStatements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        let found = row::columns("r");
        let load = format!("SELECT {NOW}, {found} FROM {table} AS r WHERE r.key = ?");
        let scan = format!(
            "SELECT {NOW}, r.key, {found} FROM {table} AS r
             WHERE r.key > ? AND r.expires_at > {NOW} ORDER BY r.key LIMIT ?"
        );
        let purge = format!(
            "DELETE FROM {table} WHERE key IN (
                 SELECT key FROM {table} WHERE purge_after <= {NOW} AND expires_at <= {NOW}
                 ORDER BY purge_after LIMIT ?)
             RETURNING 1"
        );
        let (load, scan, purge) = (load.into(), scan.into(), purge.into());
        Self { table, batches: Mutex::default(), load, scan, purge }
    }

    /// The text for `rows` verbs, and the number of arguments that it has beyond theirs.
    pub(super) fn batch(&self, batch: BatchVerb, rows: usize) -> (Arc<str>, usize) {
        let filled = rows.next_power_of_two();
        let mut batches = self.batches.lock();
        let text =
            batches.entry((batch, filled)).or_insert_with(|| self.text(batch, filled).into());
        (Arc::clone(text), (filled - rows) * batch.arguments().len())
    }

    fn text(&self, batch: BatchVerb, rows: usize) -> String {
        let names = batch.arguments().join(", ");
        let holes = vec!["?"; batch.arguments().len()].join(", ");
        let values: Vec<_> = (1..=rows).map(|number| format!("({number}, {holes})")).collect();
        let asked = format!("WITH asked (n, {names}) AS (VALUES {})", values.join(", "));
        let table = &self.table;
        let open = open("a.failure");
        let at_work = format!(
            "r.key = a.key AND r.owner = a.owner AND r.status = 'processing' AND r.expires_at > {NOW} AND {SOUND}"
        );
        let expiry = completions_expiry("a.failure", &format!("{NOW} + a.ttl_ms"));
        let purge_after = purge_after(&expiry);
        let statement = match batch {
            BatchVerb::Look => {
                let found = row::columns("r");
                format!(
                    "SELECT a.n, {NOW}, {found} FROM asked AS a
                     LEFT JOIN {table} AS r ON r.key = a.key WHERE a.key IS NOT NULL"
                )
            }
            BatchVerb::Claim => format!(
                "INSERT INTO {table} AS r
                     (key, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after)
                 SELECT a.key, 1, 'processing', a.owner, 1, 0, a.fingerprint, a.on_crash, a.lease_ms, a.ttl_ms,
                        {NOW} + a.lease_ms, {}, {NOW} + a.ttl_ms
                 FROM asked AS a WHERE a.key IS NOT NULL
                 {} RETURNING key, status, fence, recovered, finished_at",
                claims_expiry(NOW, "a"),
                on_conflict()
            ),
            BatchVerb::Renew => format!(
                "UPDATE {table} AS r
                 SET lease_until = {NOW} + r.lease_ms, expires_at = {}
                 FROM asked AS a WHERE {at_work} RETURNING key",
                claims_expiry(NOW, "r")
            ),
            BatchVerb::Complete => format!(
                "UPDATE {table} AS r
                 SET status = a.status, finished_at = {NOW}, expires_at = {expiry},
                     purge_after = {purge_after}, codec = a.codec,
                     payload = a.payload, failure = a.failure, message = a.message, size = a.size
                 FROM asked AS a
                 WHERE r.key = a.key AND r.owner = a.owner AND {open} AND r.expires_at > {NOW} AND {SOUND}
                 RETURNING key"
            ),
            BatchVerb::Release => format!(
                "UPDATE {table} AS r SET {} FROM asked AS a WHERE {at_work} RETURNING key",
                released(NOW, "")
            ),
        };
        format!("{asked} {statement}")
    }
}
