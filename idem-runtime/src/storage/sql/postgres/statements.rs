//! The statements.
//!
//! Each takes a batch as arrays, a column each. A write says in its own conditions what it needs, so that it is right whatever others do
//! meanwhile. What it did not write is judged by the state machine.
//!
//! | verb | statement | and then |
//! |---|---|---|
//! | claim | [`claim`](Statements::claim) inserts what has no row, and reads the row of what has | what is expired, or whose lease is over: [`take`](Statements::take) |
//! | renew, complete, release | update or delete by key and owner | what was not the caller's: [`find`](Statements::find) |
//!
//! A replay writes nothing, locks nothing and takes no transaction id: `ON CONFLICT DO NOTHING` only looks.
//!
//! `clock_timestamp()` and not `now()`, which is the time at which the transaction began.
//!
//! Planning these statements costs more than running them, and the server plans anew as long as it believes that knowing the arguments
//! makes a better plan. So a verb by itself has a text of its own, without lists, and a list comes from a subquery, whose length the planner
//! does not look at: then one plan is made for a connection, after its first few uses.

use std::sync::Arc;

use super::super::conditions::{OPEN, SOUND, free, on_conflict, purge_after};
use super::super::row;
use super::super::table::Table;

/// This moment, in milliseconds since the Unix epoch.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The arguments of a verb, each an array of its type.
type Arguments = &'static [(&'static str, &'static str)];

const CLAIM: Arguments = &[
    ("key", "text"),
    ("owner", "bytea"),
    ("fingerprint", "bytea"),
    ("on_crash", "text"),
    ("lease_ms", "bigint"),
    ("ttl_ms", "bigint"),
];
const COMPLETE: Arguments = &[
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
const OWNED: Arguments = &[("key", "text"), ("owner", "bytea")];
const KEY: Arguments = &[("key", "text")];

/// A statement on a batch.
#[derive(Debug)]
pub(super) struct Batch {
    one: Arc<str>,
    many: Arc<str>,
}

impl Batch {
    fn new(arguments: Arguments, rest: &str) -> Self {
        let text = |asked: String| {
            // What follows is a statement, or begins with another query by name.
            let comma = if rest.starts_with("won") { "," } else { "" };
            format!("WITH asked AS MATERIALIZED ({asked}){comma} {rest}").into()
        };
        Self { one: text(one(arguments)), many: text(many(arguments)) }
    }

    /// The text for so many verbs.
    pub(super) fn text(&self, verbs: usize) -> &Arc<str> {
        if verbs == 1 { &self.one } else { &self.many }
    }
}

/// The arguments of one verb as a row.
fn one(arguments: Arguments) -> String {
    let column = |(number, (name, of)): (usize, &(&str, &str))| {
        let collate = if *name == "key" { " COLLATE \"C\"" } else { "" };
        format!("(${}::{of}[])[1]{collate} AS {name}", number + 1)
    };
    let columns: Vec<_> = arguments.iter().enumerate().map(column).collect();
    let columns = columns.join(", ");
    format!("SELECT 1::bigint AS n, {NOW} AS now_ms, {columns}")
}

/// The arguments of many verbs as rows.
fn many(arguments: Arguments) -> String {
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
         FROM unnest({}) WITH ORDINALITY AS a ({}, n), (SELECT {NOW} AS now_ms) AS clock",
        lists.join(", "),
        names.join(", ")
    )
}

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// `number, now, whether it is the claim's`, and the row that is there.
    pub(super) claim: Batch,
    /// `number, now, status, fence, finished_at` of what was taken over, and the row that is there.
    pub(super) take: Batch,
    /// `number, now`, and the row that is there.
    pub(super) find: Batch,
    /// The numbers of those that were the caller's.
    pub(super) renew: Batch,
    pub(super) complete: Batch,
    pub(super) release: Batch,
    pub(super) load: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) purge: Arc<str>,
    pub(super) processing: Arc<str>,
}

impl Statements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        let found = row::columns("r");
        let at_work = format!(
            "r.key = a.key AND r.owner = a.owner AND r.status = 'processing' AND r.expires_at > a.now_ms AND {SOUND}"
        );
        let purge_after = purge_after("(a.now_ms + a.ttl_ms)");
        Self {
            claim: Batch::new(CLAIM, &claim(&table, &found)),
            take: Batch::new(CLAIM, &take(&table, &found)),
            find: Batch::new(
                KEY,
                &format!(
                    "SELECT a.n, a.now_ms, {found} FROM asked AS a LEFT JOIN {table} AS r ON r.key = a.key"
                ),
            ),
            renew: Batch::new(
                OWNED,
                &format!(
                    "UPDATE {table} AS r
                     SET lease_until = a.now_ms + r.lease_ms, expires_at = a.now_ms + r.lease_ms + r.ttl_ms
                     FROM asked AS a WHERE {at_work} RETURNING a.n"
                ),
            ),
            complete: Batch::new(
                COMPLETE,
                &format!(
                    "UPDATE {table} AS r
                     SET status = a.status, finished_at = a.now_ms, expires_at = a.now_ms + a.ttl_ms,
                         purge_after = {purge_after}, codec = a.codec, payload = a.payload, failure = a.failure,
                         message = a.message, size = a.size
                     FROM asked AS a
                     WHERE r.key = a.key AND r.owner = a.owner AND {OPEN} AND r.expires_at > a.now_ms AND {SOUND}
                     RETURNING a.n"
                ),
            ),
            release: Batch::new(
                OWNED,
                &format!("DELETE FROM {table} AS r USING asked AS a WHERE {at_work} RETURNING a.n"),
            ),
            load: format!("SELECT {NOW}, {found} FROM {table} AS r WHERE r.key = $1").into(),
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
                 WHERE r.key = ANY($1) AND r.status = 'processing' AND r.expires_at > (SELECT {NOW})"
            )
            .into(),
        }
    }
}

/// The columns of a row that a claim inserts, and their values.
const INSERTED: [&str; 2] = [
    "key, version, status, owner, fence, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after",
    "a.key, 1, 'processing', a.owner, 1, a.fingerprint, a.on_crash, a.lease_ms, a.ttl_ms, \
     a.now_ms + a.lease_ms, a.now_ms + a.lease_ms + a.ttl_ms, a.now_ms + a.ttl_ms",
];

/// Inserts what has no row, and reads the row of what has one.
fn claim(table: &str, found: &str) -> String {
    let [columns, values] = INSERTED;
    format!(
        "won AS (
             INSERT INTO {table} ({columns}) SELECT {values} FROM asked AS a
             ON CONFLICT (key) DO NOTHING RETURNING key)
         SELECT a.n, a.now_ms, w.key IS NOT NULL, {found}
         FROM asked AS a
         LEFT JOIN won AS w ON w.key = a.key
         LEFT JOIN {table} AS r ON r.key = a.key AND w.key IS NULL"
    )
}

/// Takes over, or parks, what is free, and reads the rows of the others. It looks first, so that it locks nobody else's.
fn take(table: &str, found: &str) -> String {
    let free = free("a.now_ms", "a.fingerprint", "a.owner");
    let on_conflict = on_conflict();
    let [columns, values] = INSERTED;
    format!(
        "won AS (
             INSERT INTO {table} AS r ({columns})
             SELECT {values}
             FROM asked AS a LEFT JOIN {table} AS r ON r.key = a.key
             WHERE r.key IS NULL OR {free}
             ORDER BY a.key
             {on_conflict}
             RETURNING r.key, r.status, r.fence, r.finished_at)
         SELECT a.n, a.now_ms, w.status, w.fence, w.finished_at, {found}
         FROM asked AS a
         LEFT JOIN won AS w ON w.key = a.key
         LEFT JOIN {table} AS r ON r.key = a.key AND w.key IS NULL"
    )
}
