//! The statements.
//!
//! A batch is one JSON array, with bytes as hex, which `JSON_TABLE` makes rows of, so that the same
//! prepared statement takes any number of verbs. Results are too large for that: see [`complete`].
//!
//! Every statement commits by itself, and every write finds its rows by the whole primary key and
//! says in its conditions what it needs. So it locks those rows alone under every isolation level,
//! is right whatever others do between two statements, and leaves nothing behind in the storage's
//! own sessions: neither a transaction nor a setting.
//!
//! `UTC_TIMESTAMP` is the moment at which the statement began, the same for all of its rows and
//! wherever it stands in it. `SYSDATE` would move inside of it, and both it and `NOW` are in the
//! session's time zone, in which an hour comes twice when summer ends. A statement that waited for
//! a lock is the more careful for being late: by its clock fewer leases are over.

use std::sync::Arc;

use super::super::conditions::{SOUND, claims_expiry, never, open, purge_after, released};
use super::super::row;
use super::super::table::Table;
use crate::record::OwnerId;

/// This moment, in milliseconds since the Unix epoch.
const NOW: &str =
    "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)";

/// The fields of a claim in a batch, in their order: see [`arguments`](super::arguments).
const CLAIM: &[(&str, &str)] = &[
    KEY,
    OWNER,
    ("fingerprint", "VARCHAR(66)"),
    ("on_crash", "VARCHAR(16)"),
    ("lease_ms", "BIGINT"),
    ("ttl_ms", "BIGINT"),
];

/// The same for a claim of a key whose last owner had this fence, and died (1) or released the key
/// (0).
const TAKEOVER: &[(&str, &str)] = &[
    CLAIM[0],
    CLAIM[1],
    CLAIM[2],
    CLAIM[3],
    CLAIM[4],
    CLAIM[5],
    ("fence", "BIGINT"),
    ("recovered", "BIGINT"),
];

const KEY: (&str, &str) = ("record_key", "VARCHAR(2048)");

const OWNER: (&str, &str) = ("owner", "VARCHAR(32)");

/// The sizes of the statements that end operations. A batch takes the next larger one, with keys
/// that nothing has in the places left.
pub(super) const SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct MySqlStatements {
    /// The rows of a batch's keys; the first column is the verb's number.
    pub(super) find: Arc<str>,
    /// The same for a verb by itself, which needs no array.
    pub(super) find_one: Arc<str>,
    pub(super) claims: ClaimStatements,
    /// Wait for no lock, on MariaDB.
    pub(super) unwaiting: ClaimStatements,
    /// Wait for a lock for one second, on MySQL: see [`PATIENT`].
    pub(super) impatient: ClaimStatements,
    pub(super) renew: Write,
    /// For batches of each of [`SIZES`].
    pub(super) complete: [Write; SIZES.len()],
    pub(super) release: Write,
    pub(super) load: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) expired: Arc<str>,
    pub(super) processing: Arc<str>,
    /// The current row of a key instead of the snapshot's. It locks the row.
    pub(super) find_locked: Arc<str>,
}

/// What a claim writes.
#[derive(Debug)]
pub(super) struct ClaimStatements {
    pub(super) insert: Write,
    pub(super) remove_expired: Write,
    pub(super) take_over: Write,
    pub(super) park: Write,
}

/// A statement that writes.
pub(super) type Write = Arc<str>;

impl MySqlStatements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        let found = row::columns("r");
        let by_key = |fields| by_key(&table, fields);
        let (keys, owned) = (by_key(&[KEY]), by_key(&[KEY, OWNER]));
        let (renewed, released) = (claims_expiry(NOW, "r"), released(NOW, "r."));
        let mine = format!("r.owner = UNHEX(a.owner) AND {}", alive());
        Self {
            find: format!("SELECT a.n, {NOW}, {found} FROM {keys}").into(),
            find_one: format!("SELECT 1, {NOW}, {found} FROM {table} AS r WHERE r.`key` = ?").into(),
            claims: ClaimStatements::new(&table, "", ""),
            unwaiting: ClaimStatements::new(&table, "SET STATEMENT innodb_lock_wait_timeout = 0 FOR ", ""),
            impatient: ClaimStatements::new(&table, IMPATIENT, AND_PATIENT),
            renew: format!(
                "UPDATE {owned}
                 SET r.lease_until = {NOW} + r.lease_ms, r.expires_at = {renewed}
                 WHERE r.status = 'processing' AND {mine}"
            )
            .into(),
            complete: SIZES.map(|size| complete(&table, size).into()),
            release: format!("UPDATE {owned} SET {released} WHERE r.status = 'processing' AND {mine}").into(),
            load: format!("SELECT {NOW}, {found} FROM {table} AS r WHERE r.`key` = ?").into(),
            scan: format!(
                "SELECT {NOW}, r.`key`, {found} FROM {table} AS r
                 WHERE r.`key` > ? AND r.expires_at > {NOW} ORDER BY r.`key` LIMIT ?"
            )
            .into(),
            expired: format!(
                "SELECT r.`key` FROM {table} AS r
                 WHERE r.purge_after <= {NOW} AND r.expires_at <= {NOW} ORDER BY r.purge_after LIMIT ?"
            )
            .into(),
            processing: format!(
                "SELECT r.`key` FROM {keys} WHERE r.status = 'processing' AND r.expires_at > {NOW}"
            )
            .into(),
            find_locked: format!(
                "SELECT 1, {NOW}, {found} FROM {table} AS r WHERE r.`key` = ? LOCK IN SHARE MODE"
            )
            .into(),
        }
    }
}

/// Limits the following statements' lock wait to one second, MySQL's minimum, and saves the
/// session's own value.
///
/// If a value is saved already, a cancelled call left it behind, and the current value is not the
/// session's own.
const IMPATIENT: &str = "SET @idempotency_wait = \
                         CAST(COALESCE(@idempotency_wait, @@SESSION.innodb_lock_wait_timeout) AS UNSIGNED), SESSION innodb_lock_wait_timeout = 1; ";

/// Restores the session's saved value, if there is one.
///
/// It is in one text with the statement before it, so that the server runs it even if the caller is
/// dropped, but not if that statement fails. So it is sent again after an error, and before the
/// next call and the commit.
pub(super) const PATIENT: &str = "SET SESSION innodb_lock_wait_timeout = \
                                  CAST(COALESCE(@idempotency_wait, @@SESSION.innodb_lock_wait_timeout) AS UNSIGNED), \
                                  @idempotency_wait = NULL; ";

const AND_PATIENT: &str =
    "; SET SESSION innodb_lock_wait_timeout = @idempotency_wait, @idempotency_wait = NULL";

/// A call's record as its transaction sees it: its fence, and how long it will not expire, in
/// milliseconds.
pub(super) fn own(table: &str, key: &str, owner: OwnerId) -> String {
    format!(
        "SELECT r.fence, r.expires_at - {NOW} FROM {table} AS r WHERE r.`key` = X'{key}' AND r.owner = X'{owner}'"
    )
}

/// The owner and the fence of a key's row, expired or not, unless a transaction has the row.
pub(super) fn unlocked(table: &str, key: &str) -> String {
    format!("SELECT r.owner, r.fence FROM {table} AS r WHERE r.`key` = X'{key}' FOR UPDATE NOWAIT")
}

impl ClaimStatements {
    /// The statements, with `before` in front of each, and `after` behind it.
    fn new(table: &str, before: &str, after: &str) -> Self {
        let keys = by_key(table, &[KEY]);
        let (claims, takeovers) = (by_key(table, CLAIM), by_key(table, TAKEOVER));
        let lapsed = format!(
            "r.status = 'processing' AND r.owner <> UNHEX(a.owner) AND r.lease_until <= {NOW}"
        );
        let alike = format!("r.fingerprint = UNHEX(a.fingerprint) AND {}", alive());
        let expiry = claims_expiry(NOW, "a");
        let never = never();
        Self {
            insert: format!(
                "{before}INSERT INTO {table}
                     (`key`, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until,
                      expires_at, purge_after)
                 SELECT UNHEX(a.record_key), 1, 'processing', UNHEX(a.owner), 1, 0, UNHEX(a.fingerprint), a.on_crash,
                        a.lease_ms, a.ttl_ms, {NOW} + a.lease_ms, {expiry}, {NOW} + a.ttl_ms
                 FROM {} WHERE true{after}",
                asked(CLAIM)
            )
            .into(),
            remove_expired: format!("{before}DELETE r FROM {keys} WHERE r.expires_at <= {NOW}{after}").into(),
            take_over: format!(
                "{before}UPDATE {takeovers}
                 SET r.status = 'processing', r.owner = UNHEX(a.owner), r.fence = r.fence + 1,
                     r.recovered = a.recovered, r.on_crash = a.on_crash, r.lease_ms = a.lease_ms, r.ttl_ms = a.ttl_ms,
                     r.lease_until = {NOW} + a.lease_ms, r.expires_at = {expiry}, r.purge_after = {NOW} + a.ttl_ms
                 WHERE ((a.recovered = 1 AND r.on_crash = 'retry' AND {lapsed}) OR (a.recovered = 0 AND r.status = 'released'))
                   AND r.fence = a.fence AND {alike}{after}"
            )
            .into(),
            park: format!(
                "{before}UPDATE {claims}
                 SET r.status = 'failed', r.failure = 'indeterminate', r.size = 0, r.finished_at = ?,
                     r.expires_at = {never}, r.purge_after = {never}
                 WHERE r.on_crash = 'park' AND {lapsed} AND {alike}{after}"
            )
            .into(),
        }
    }
}

/// Ends the operations of a batch of up to `size`.
///
/// Its values are not in a JSON array: MariaDB would collect the results in a temporary table
/// first, which it makes as a file. Where in the lists of values a row finds its own, its key's
/// place in the list of keys says.
fn complete(table: &str, size: usize) -> String {
    let list = vec!["?"; size].join(", ");
    let own = format!("ELT(FIELD(r.`key`, {list}), {list})");
    let alive = alive();
    let open = open("?");
    // The second value is 0, or the moment at which nothing expires.
    let expiry = format!("GREATEST({NOW} + ?, ?)");
    let purge_after = purge_after(&expiry);
    format!(
        "UPDATE {table} AS r FORCE INDEX (PRIMARY)
         SET r.status = ?, r.codec = ?, r.failure = ?, r.finished_at = {NOW}, r.expires_at = {expiry},
             r.purge_after = {purge_after}, r.payload = {own}, r.message = {own}, r.size = {own}
         WHERE r.`key` IN ({list}) AND r.owner = {own} AND {open} AND {alive}"
    )
}

/// What has to hold of a row that an owner may write to.
fn alive() -> String {
    format!("r.expires_at > {NOW} AND {SOUND}")
}

/// The verbs of a batch as a table.
fn asked(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().enumerate();
    let fields = fields.map(|(at, (name, of))| format!("{name} {of} PATH '$[{at}]'"));
    let fields = fields.collect::<Vec<_>>().join(", ");
    format!("JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, {fields})) AS a")
}

/// The verbs of a batch, each with the row of its key. Left to itself the database reads a small
/// table whole, and locks it whole.
fn by_key(table: &str, fields: &[(&str, &str)]) -> String {
    let asked = asked(fields);
    format!(
        "{asked} STRAIGHT_JOIN {table} AS r FORCE INDEX (PRIMARY) ON r.`key` = UNHEX(a.record_key)"
    )
}
