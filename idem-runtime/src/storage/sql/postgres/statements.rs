//! The statements, one for each verb.
//!
//! Each takes a batch as arrays, a column each, and answers with a row for each of its verbs, with the moment at which it was decided. A
//! write says in its own conditions what it needs, so that it is right whatever others do meanwhile; what it did not write is read beside
//! it, from the statement's snapshot, and judged by the state machine.
//!
//! `clock_timestamp()` and not `now()`, which is the time at which the transaction began.
//!
//! Planning these statements costs more than running them, and the server plans anew as long as it believes that knowing the arguments
//! makes a better plan. So a verb by itself has a text of its own, without lists, and a list comes from a subquery, whose length the planner
//! does not look at: then one plan is made for a connection, after its first few uses.

use std::sync::Arc;

use super::super::conditions::{OPEN, SOUND, free, on_conflict};
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

/// A statement on a batch.
#[derive(Debug)]
pub(super) struct Batch {
    one: Arc<str>,
    many: Arc<str>,
}

impl Batch {
    fn new(arguments: Arguments, rest: &str) -> Self {
        let text = |asked: String| format!("WITH asked AS MATERIALIZED ({asked}), {rest}").into();
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
    let others: Vec<_> = names.iter().skip(1).map(|name| format!("a.{name}")).collect();
    let others = others.join(", ");
    format!(
        "SELECT a.n, clock.now_ms, a.key COLLATE \"C\" AS key, {others}
         FROM unnest({}) WITH ORDINALITY AS a ({}, n), (SELECT {NOW} AS now_ms) AS clock",
        lists.join(", "),
        names.join(", ")
    )
}

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) claim: Batch,
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
        Self {
            claim: Batch::new(CLAIM, &claim(&table, &found)),
            renew: Batch::new(
                OWNED,
                &write(
                    &format!(
                        "UPDATE {table} AS r
                         SET lease_until = a.now_ms + r.lease_ms, expires_at = a.now_ms + r.lease_ms + r.ttl_ms
                         FROM asked AS a WHERE {at_work}"
                    ),
                    &table,
                    &found,
                ),
            ),
            complete: Batch::new(
                COMPLETE,
                &write(
                    &format!(
                        "UPDATE {table} AS r
                         SET status = a.status, finished_at = a.now_ms, expires_at = a.now_ms + a.ttl_ms,
                             codec = a.codec, payload = a.payload, failure = a.failure, message = a.message,
                             size = a.size
                         FROM asked AS a
                         WHERE r.key = a.key AND r.owner = a.owner AND {OPEN} AND r.expires_at > a.now_ms AND {SOUND}"
                    ),
                    &table,
                    &found,
                ),
            ),
            release: Batch::new(
                OWNED,
                &write(
                    &format!("DELETE FROM {table} AS r USING asked AS a WHERE {at_work}"),
                    &table,
                    &found,
                ),
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
                     WHERE r.expires_at <= (SELECT {NOW}) ORDER BY r.expires_at LIMIT $1
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

/// An owner's write, and what is there for those who own nothing.
fn write(write: &str, table: &str, found: &str) -> String {
    format!(
        "done AS ({write} RETURNING r.key)
         SELECT a.n, a.now_ms, d.key IS NOT NULL, {found}
         FROM asked AS a
         LEFT JOIN done AS d ON d.key = a.key
         LEFT JOIN {table} AS r ON r.key = a.key AND d.key IS NULL"
    )
}

/// Reads the rows first, so that a replay writes nothing and locks nothing; inserts, or takes over, what is free.
fn claim(table: &str, found: &str) -> String {
    let free = free("a.now_ms", "a.fingerprint", "a.owner");
    let on_conflict = on_conflict();
    format!(
        "won AS (
             INSERT INTO {table} AS r
                 (key, version, status, owner, fence, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at)
             SELECT a.key, 1, 'processing', a.owner, 1, a.fingerprint, a.on_crash, a.lease_ms, a.ttl_ms,
                    a.now_ms + a.lease_ms, a.now_ms + a.lease_ms + a.ttl_ms
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
