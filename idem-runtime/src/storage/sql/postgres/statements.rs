//! The text of the statements.
//!
//! Each takes a batch as arrays, one per column. A write repeats its conditions, so that concurrent
//! changes cannot make it wrong. The state machine answers the verbs that were not applied.
//!
//! | verb | statement | then |
//! |---|---|---|
//! | claim | [`claim`](PgStatements::claim) inserts the keys without a row, and reads the existing rows | free rows: [`take`](PgStatements::take) |
//! | renew, complete, release | update by key and owner | verbs that were not applied: [`find`](PgStatements::find) |
//!
//! A replay writes nothing, locks nothing and takes no transaction id: `ON CONFLICT DO NOTHING`
//! only reads. A write returns one row, with the list of what it applied, and not a row per verb.
//!
//! The clock is `clock_timestamp()`: `now()` is the time at which the transaction began.
//!
//! # Plans
//!
//! Planning these statements costs more than running them. The server keeps replanning a statement
//! while it expects a better plan from the actual arguments. So a single verb has a text of its
//! own, without arrays, and an array is passed through a subquery, which hides its length from the
//! planner. The server then keeps one generic plan per connection, after a few uses.
//!
//! That plan stays while the table grows. A plan from when the table was small would scan the whole
//! table until the server's next `ANALYZE`, so the statements leave the planner no such choice:
//!
//! - [`INDEXED`] raises the planner's cost estimate of reading more than one row.
//! - Rows are read by `LATERAL (… LIMIT 1)`, once for each key.
//! - A write cannot use `LATERAL`. Its list is estimated at one row instead ([`AS_ONE`]).

use std::sync::Arc;

use super::super::conditions::{
    SOUND, claims_expiry, completions_expiry, free, on_conflict, open, purge_after, released,
};
use super::super::row;
use super::super::table::Table;

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct PgStatements {
    /// `number, now, NULL` and the existing row of each claim; and one row without a number, whose
    /// third column lists the keys that were inserted.
    pub(super) claim: BatchStatement,
    /// One claim in the application's transaction, with the number of its lock and the text of its
    /// mark: `now`, whether the lock was acquired, the mark if the row was inserted, and the
    /// existing row.
    pub(super) claim_within: Arc<str>,
    /// Marks the transaction.
    pub(super) mark: Arc<str>,
    /// Reads the transaction's [`witness`](super::witness). It is not prepared.
    pub(super) witness: &'static str,
    /// Whether the lock with this number is free.
    pub(super) is_unlocked: Arc<str>,
    /// The status of the transaction with this id, server start and begin time, and the owner in
    /// the key's row, even if the row is expired.
    pub(super) verdict: Arc<str>,
    /// `number, now, status, fence, recovered, finished_at` of the rows taken over, and the
    /// existing row.
    pub(super) take: BatchStatement,
    /// `number, now` and the existing row.
    pub(super) find: BatchStatement,
    /// The numbers of the verbs that were applied.
    pub(super) renew: BatchStatement,
    pub(super) complete: BatchStatement,
    pub(super) release: BatchStatement,
    pub(super) load: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) purge: Arc<str>,
    pub(super) processing: Arc<str>,
}

impl PgStatements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        let found = row::columns("r");
        let at_work = format!(
            "r.key = a.key AND r.owner = a.owner AND r.status = 'processing' AND r.expires_at > a.now_ms AND {SOUND} AND {INDEXED}"
        );
        let there = there(&table);
        let open = open("a.failure");
        let expiry = completions_expiry("a.failure", "a.now_ms + a.ttl_ms");
        let purge_after = purge_after(&expiry);
        let renewed = claims_expiry("a.now_ms", "r");
        let released = released("a.now_ms", "");
        Self {
            claim: BatchStatement::of(CLAIM, &claim_one(&table, &found), &claim_many(&table, &found)),
            claim_within: claim_within(&table, &found).into(),
            mark: format!("SELECT set_config('{MARK}', $1, true)").into(),
            witness: WITNESS,
            is_unlocked: "SELECT pg_try_advisory_xact_lock($1)".into(),
            verdict: format!(
                "SELECT {STATUS}, (SELECT r.owner FROM {table} AS r WHERE r.key = $4 AND {INDEXED})"
            )
            .into(),
            take: BatchStatement::new(CLAIM, &take(&table, &found)),
            find: BatchStatement::new(
                KEY,
                &format!("SELECT a.n, a.now_ms, {found} FROM asked AS a LEFT JOIN {there} ON true"),
            ),
            renew: BatchStatement::of_owners(
                OWNED,
                &format!(
                    "UPDATE {table} AS r
                     SET lease_until = a.now_ms + r.lease_ms, expires_at = {renewed}
                     FROM asked AS a WHERE {at_work}"
                ),
            ),
            complete: BatchStatement::of_owners(
                COMPLETE,
                &format!(
                    "UPDATE {table} AS r
                     SET status = a.status, finished_at = a.now_ms, expires_at = {expiry},
                         purge_after = {purge_after}, codec = a.codec, payload = a.payload, failure = a.failure,
                         message = a.message, size = a.size
                     FROM asked AS a
                     WHERE r.key = a.key AND r.owner = a.owner AND {open} AND r.expires_at > a.now_ms AND {SOUND} AND {INDEXED}"
                ),
            ),
            release: BatchStatement::of_owners(
                OWNED,
                &format!("UPDATE {table} AS r SET {released} FROM asked AS a WHERE {at_work}"),
            ),
            load: format!("SELECT {NOW}, {found} FROM {table} AS r WHERE r.key = $1 AND {INDEXED}")
                .into(),
            scan: format!(
                "SELECT {NOW}, r.key, {found} FROM {table} AS r
                 WHERE r.key > $1 AND r.expires_at > (SELECT {NOW}) ORDER BY r.key LIMIT $2"
            )
            .into(),
            purge: format!(
                "DELETE FROM {table} WHERE key IN (
                     SELECT r.key FROM {table} AS r
                     WHERE r.purge_after <= (SELECT {NOW}) AND r.expires_at <= (SELECT {NOW})
                     ORDER BY r.purge_after LIMIT $1
                     FOR UPDATE OF r SKIP LOCKED)
                 RETURNING 1"
            )
            .into(),
            processing: format!(
                "SELECT r.key FROM {table} AS r
                 WHERE r.key = ANY($1) AND r.status = 'processing' AND r.expires_at > (SELECT {NOW}) AND {INDEXED}"
            )
            .into(),
        }
    }
}

/// This moment, in milliseconds since the Unix epoch.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The arguments of a verb, each an array of its type.
type BatchColumns = &'static [(&'static str, &'static str)];

const CLAIM: BatchColumns = &[
    ("key", "text"),
    ("owner", "bytea"),
    ("fingerprint", "bytea"),
    ("on_crash", "text"),
    ("lease_ms", "bigint"),
    ("ttl_ms", "bigint"),
];
const COMPLETE: BatchColumns = &[
    ("key", "text"),
    ("owner", "bytea"),
    ("ttl_ms", "bigint"),
    ("status", "text"),
    ("codec", "text"),
    ("payload", "bytea"),
    ("failure", "text"),
    ("message", "bytea"),
    ("size", "bigint"),
];
/// Always true. The planner adds the cost of the `ELSE` for each row that it reads.
const INDEXED: &str = "CASE WHEN r.version = 1 THEN true \
                       ELSE (SELECT count(*) > 0 FROM generate_series(r.version, r.version)) END";

/// Always true, but estimated at a selectivity of 0.5 %.
const AS_ONE: &str = "a.n * 0 = 0";

const OWNED: BatchColumns = &[("key", "text"), ("owner", "bytea")];
const KEY: BatchColumns = &[("key", "text")];

/// A statement on a batch.
#[derive(Debug)]
pub(super) struct BatchStatement {
    one: Arc<str>,
    many: Arc<str>,
}

impl BatchStatement {
    fn new(arguments: BatchColumns, rest: &str) -> Self {
        Self::of(arguments, rest, rest)
    }

    /// A write of owners, which returns the numbers of the verbs that were applied.
    fn of_owners(arguments: BatchColumns, write: &str) -> Self {
        let one = format!("{write} RETURNING ARRAY[a.n]");
        let many = format!("done AS ({write} RETURNING a.n) SELECT array_agg(n) FROM done");
        Self::of(arguments, &one, &many)
    }

    fn of(arguments: BatchColumns, rest_of_one: &str, rest_of_many: &str) -> Self {
        let text = |asked: String, rest: &str| {
            // `rest` is either the statement itself, or begins with another CTE.
            let is_statement = ["SELECT", "UPDATE"].iter().any(|verb| rest.starts_with(verb));
            let comma = if is_statement { "" } else { "," };
            format!("WITH asked AS MATERIALIZED ({asked}){comma} {rest}").into()
        };
        Self { one: text(one(arguments), rest_of_one), many: text(many(arguments), rest_of_many) }
    }

    /// The text for so many verbs.
    pub(super) fn text(&self, verbs: usize) -> &Arc<str> {
        if verbs == 1 { &self.one } else { &self.many }
    }
}

/// The arguments of one verb as a row.
fn one(arguments: BatchColumns) -> String {
    let column = |(number, (name, of)): (usize, &(&str, &str))| {
        let collate = if *name == "key" { " COLLATE \"C\"" } else { "" };
        format!("${}::{of}{collate} AS {name}", number + 1)
    };
    let columns: Vec<_> = arguments.iter().enumerate().map(column).collect();
    let columns = columns.join(", ");
    format!("SELECT 1::bigint AS n, {NOW} AS now_ms, {columns}")
}

/// The arguments of many verbs as rows.
fn many(arguments: BatchColumns) -> String {
    let numbered = arguments.iter().enumerate();
    let lists: Vec<_> =
        numbered.map(|(number, (_, of))| format!("(SELECT ${}::{of}[])", number + 1)).collect();
    let names: Vec<_> = arguments.iter().map(|(name, _)| *name).collect();
    let column = |name: &&str| match *name {
        "key" => "a.key COLLATE \"C\" AS key".to_owned(),
        name => format!("a.{name}"),
    };
    let columns = names.iter().map(column).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT a.n, clock.now_ms, {columns}
         FROM unnest({}) WITH ORDINALITY AS a ({}, n), (SELECT {NOW} AS now_ms) AS clock
         WHERE {AS_ONE}",
        lists.join(", "),
        names.join(", ")
    )
}

/// The columns of a row that a claim inserts.
const INSERTED: &str = "key, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, \
                        lease_until, expires_at, purge_after";

/// Their values.
fn inserted() -> String {
    let expiry = claims_expiry("a.now_ms", "a");
    format!(
        "a.key, 1, 'processing', a.owner, 1, 0, a.fingerprint, a.on_crash, a.lease_ms, a.ttl_ms, \
         a.now_ms + a.lease_ms, {expiry}, a.now_ms + a.ttl_ms"
    )
}

/// The existing row of a requested key, as `r`.
fn there(table: &str) -> String {
    format!("LATERAL (SELECT * FROM {table} AS r WHERE r.key = a.key AND {INDEXED} LIMIT 1) AS r")
}

/// Inserts the keys without a row.
fn insert(table: &str) -> String {
    let values = inserted();
    format!(
        "won AS (
             INSERT INTO {table} ({INSERTED}) SELECT {values} FROM asked AS a
             ON CONFLICT (key) DO NOTHING RETURNING key)"
    )
}

/// Inserts the row, or reads the existing one.
fn claim_one(table: &str, found: &str) -> String {
    let (insert, there) = (insert(table), there(table));
    format!(
        "{insert}
         SELECT CASE WHEN won.key IS NULL THEN a.n END, a.now_ms, CASE WHEN won.key IS NOT NULL THEN ARRAY[won.key] END, {found}
         FROM asked AS a LEFT JOIN won ON true LEFT JOIN {there} ON won.key IS NULL"
    )
}

/// Inserts the keys without a row, and reads the existing rows.
fn claim_many(table: &str, found: &str) -> String {
    let (insert, there) = (insert(table), there(table));
    format!(
        "{insert}
         SELECT a.n, a.now_ms, NULL::text[], {found} FROM asked AS a CROSS JOIN {there}
         UNION ALL
         SELECT NULL::bigint, NULL::bigint, won.keys, {found}
         FROM (SELECT array_agg(key) AS keys FROM won) AS won LEFT JOIN {table} AS r ON false"
    )
}

/// The transaction-local setting that holds the mark of the transaction's last call.
const MARK: &str = "idempotency.call";

/// The transaction's id, whether a transaction is open, when the server was started and when the
/// transaction began, and its mark: NULL or empty if it has none.
///
/// The statement is not prepared. Outside a transaction its timestamp is that of its own
/// transaction; a later timestamp, or an assigned id, means that a transaction is open.
const WITNESS: &str = "SELECT pg_current_xact_id_if_assigned()::text, \
     pg_current_xact_id_if_assigned() IS NOT NULL OR statement_timestamp() <> transaction_timestamp(), \
     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, \
     (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint, \
     current_setting('idempotency.call', true)";

/// `committed`, `aborted` or `in progress`. NULL if this is another server, or if it was restarted
/// or recovered from a crash after the transaction began: a crash loses the ids that were not on
/// disk yet, and the server assigns them again.
///
/// `stats_reset` shows a crash, because crash recovery resets the server's statistics.
const STATUS: &str = "CASE WHEN (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint = $2 \
     AND coalesce((SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint < $3 FROM pg_stat_bgwriter), true) \
     THEN pg_xact_status($1::text::xid8) END";

/// Inserts the row, unless another open transaction holds the key's lock, and reads the existing
/// row. It waits for no lock.
fn claim_within(table: &str, found: &str) -> String {
    let values = inserted();
    let there = there(table);
    let (asked, lock, mark) = (one(CLAIM), CLAIM.len() + 1, CLAIM.len() + 2);
    format!(
        "WITH locked AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(${lock}) AS held),
         asked AS MATERIALIZED ({asked}),
         won AS (
             INSERT INTO {table} ({INSERTED}) SELECT {values} FROM asked AS a CROSS JOIN locked WHERE locked.held
             ON CONFLICT (key) DO NOTHING RETURNING key)
         SELECT a.now_ms, locked.held, (SELECT set_config('{MARK}', ${mark}, true) FROM won), {found}
         FROM asked AS a CROSS JOIN locked LEFT JOIN {there} ON true"
    )
}

/// Takes over or parks the free rows, and reads the others. It selects the free rows before it
/// writes, so that it locks no other row.
fn take(table: &str, found: &str) -> String {
    let free = free("a.now_ms", "a.fingerprint", "a.owner");
    let on_conflict = on_conflict();
    let values = inserted();
    let there = there(table);
    format!(
        "won AS (
             INSERT INTO {table} AS r ({INSERTED})
             SELECT {values}
             FROM asked AS a LEFT JOIN {there} ON true
             WHERE r.key IS NULL OR {free}
             ORDER BY a.key
             {on_conflict}
             RETURNING r.key, r.status, r.fence, r.recovered, r.finished_at)
         SELECT a.n, a.now_ms, w.status, w.fence, w.recovered, w.finished_at, {found}
         FROM asked AS a
         LEFT JOIN won AS w ON w.key = a.key
         LEFT JOIN {there} ON w.key IS NULL"
    )
}
