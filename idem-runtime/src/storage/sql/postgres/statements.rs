//! The statements, one for each verb.
//!
//! Each takes a batch as arrays, a column each, and answers with a row for each of its verbs, with the moment at which it was decided. A
//! write says in its own conditions what it needs, so that it is right whatever others do meanwhile; what it did not write is read beside
//! it, from the statement's snapshot, and judged by the state machine.
//!
//! `clock_timestamp()` and not `now()`, which is the time at which the transaction began.

use std::sync::Arc;

use super::super::conditions::{OPEN, SOUND, free, on_conflict};
use super::super::row;
use super::super::table::Table;

/// This moment, in milliseconds since the Unix epoch.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The text of all statements, for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) claim: Arc<str>,
    pub(super) renew: Arc<str>,
    pub(super) complete: Arc<str>,
    pub(super) release: Arc<str>,
    pub(super) load: Arc<str>,
    pub(super) scan: Arc<str>,
    pub(super) purge: Arc<str>,
    pub(super) processing: Arc<str>,
}

impl Statements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        let found = row::columns("r");
        Self {
            claim: claim(&table, &found).into(),
            renew: write(
                &asked("owner", "bytea[]", 2),
                &format!(
                    "UPDATE {table} AS r
                     SET lease_until = a.now_ms + r.lease_ms, expires_at = a.now_ms + r.lease_ms + r.ttl_ms
                     FROM asked AS a
                     WHERE r.key = a.key AND r.owner = a.owner AND r.status = 'processing'
                       AND r.expires_at > a.now_ms AND {SOUND}"
                ),
                &table,
                &found,
            )
            .into(),
            complete: write(
                &format!(
                    "SELECT a.n, a.key COLLATE \"C\" AS key, a.owner, a.ttl_ms, a.status, a.codec, a.payload,
                            a.failure, a.message, a.size, clock.now_ms
                     FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::bytea[],
                                 $7::text[], $8::bytea[], $9::bigint[])
                          WITH ORDINALITY
                          AS a (key, owner, ttl_ms, status, codec, payload, failure, message, size, n),
                          (SELECT {NOW} AS now_ms) AS clock"
                ),
                &format!(
                    "UPDATE {table} AS r
                     SET status = a.status, finished_at = a.now_ms, expires_at = a.now_ms + a.ttl_ms,
                         codec = a.codec, payload = a.payload, failure = a.failure, message = a.message,
                         size = a.size
                     FROM asked AS a
                     WHERE r.key = a.key AND r.owner = a.owner
                       AND {OPEN}
                       AND r.expires_at > a.now_ms AND {SOUND}"
                ),
                &table,
                &found,
            )
            .into(),
            release: write(
                &asked("owner", "bytea[]", 2),
                &format!(
                    "DELETE FROM {table} AS r USING asked AS a
                     WHERE r.key = a.key AND r.owner = a.owner AND r.status = 'processing'
                       AND r.expires_at > a.now_ms AND {SOUND}"
                ),
                &table,
                &found,
            )
            .into(),
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

/// The verbs of a batch whose only argument beside the key is `column`.
fn asked(column: &str, of: &str, parameter: u8) -> String {
    format!(
        "SELECT a.n, a.key COLLATE \"C\" AS key, a.{column}, clock.now_ms
         FROM unnest($1::text[], ${parameter}::{of}) WITH ORDINALITY AS a (key, {column}, n),
              (SELECT {NOW} AS now_ms) AS clock"
    )
}

/// An owner's write, and what is there for those who own nothing.
fn write(asked: &str, write: &str, table: &str, found: &str) -> String {
    format!(
        "WITH asked AS MATERIALIZED ({asked}),
         done AS ({write} RETURNING r.key)
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
        "WITH asked AS MATERIALIZED (
             SELECT a.n, a.key COLLATE \"C\" AS key, a.owner, a.fingerprint, a.on_crash, a.lease_ms, a.ttl_ms,
                    clock.now_ms
             FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[])
                  WITH ORDINALITY AS a (key, owner, fingerprint, on_crash, lease_ms, ttl_ms, n),
                  (SELECT {NOW} AS now_ms) AS clock),
         won AS (
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
