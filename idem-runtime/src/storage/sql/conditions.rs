//! Conditions and assignments that several dialects share: when a row may change owner, and to
//! what.
//!
//! `r` is the existing row. These restate the transition table and are tested against it.

use std::fmt::Display;

use crate::record::Timestamp;

/// Holds for a row that can be decoded. Of any other row only the expiry counts.
pub(super) const SOUND: &str = "r.version = 1 AND length(r.owner) = 16 AND length(r.fingerprint) = 33 \
                                AND r.on_crash IN ('retry', 'park') AND r.recovered IN (0, 1) AND r.lease_ms >= 0 AND r.ttl_ms >= 0 AND r.fence >= 0";

/// Whether the owner may still complete the record with this `failure`, or without one. An
/// indeterminate record may be completed, but not as indeterminate again.
pub(super) fn open(failure: &str) -> String {
    format!(
        "(r.status = 'processing' OR (r.status = 'failed' AND r.failure = 'indeterminate' \
         AND coalesce({failure}, '') <> 'indeterminate'))"
    )
}

/// When the row of a claim at `now` expires, given its columns: after lease and ttl, or never where
/// it is to be parked.
pub(super) fn claims_expiry(now: &str, of: &str) -> String {
    never_if(&format!("{of}.on_crash = 'park'"), &format!("{now} + {of}.lease_ms + {of}.ttl_ms"))
}

/// When the row of a completion expires: at `expiry`, or never where its outcome is indeterminate.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn completions_expiry(failure: &str, expiry: &str) -> String {
    never_if(&format!("{failure} = 'indeterminate'"), expiry)
}

fn never_if(condition: &str, expiry: &str) -> String {
    format!("(CASE WHEN {condition} THEN {} ELSE {expiry} END)", never())
}

/// The moment at which nothing expires.
pub(super) fn never() -> impl Display {
    Timestamp::NEVER.as_millis()
}

/// The assignments of a release.
pub(super) fn released(now: &str, of: &str) -> String {
    let expiry = format!("({now} + r.ttl_ms)");
    let purge_after = purge_after(&expiry);
    format!("{of}status = 'released', {of}expires_at = {expiry}, {of}purge_after = {purge_after}")
}

/// Whether a claim with this fingerprint by this owner may have the row at `now`: it expired, its
/// owner's lease is over, or it was released.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn free(now: &str, fingerprint: &str, owner: &str) -> String {
    format!(
        "(r.expires_at <= {now} OR ({SOUND} AND r.fingerprint = {fingerprint} AND (r.status = 'released' \
         OR (r.status = 'processing' AND r.owner <> {owner} AND r.lease_until <= {now}))))"
    )
}

/// A completion this much later than its claim moves the row in the index of `purge`.
const SLACK_MS: u32 = 60_000;

/// The `purge_after` of a row that expires at `expiry`, which its owner has just set.
///
/// The claim's value, which is a little earlier, is kept where possible, so that an ordinary
/// completion changes no index.
pub(super) fn purge_after(expiry: &str) -> String {
    format!(
        "CASE WHEN {expiry} BETWEEN r.purge_after AND r.purge_after + {SLACK_MS} THEN r.purge_after ELSE {expiry} END"
    )
}

/// The end of `INSERT INTO … AS r (…) SELECT …` of claims: an existing row that is free becomes the
/// claim's, or is parked.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn on_conflict() -> String {
    // The moment of the claim, from the row that it would insert.
    let now = "(excluded.lease_until - excluded.lease_ms)";
    let free = free(now, "excluded.fingerprint", "excluded.owner");
    let lapsed = format!("r.expires_at > {now} AND r.status = 'processing'");
    let parks = format!("{lapsed} AND r.on_crash = 'park'");
    let never = never();
    let unless_parked = |column: &str| {
        format!("{column} = CASE WHEN {parks} THEN r.{column} ELSE excluded.{column} END, ")
    };
    let kept: String =
        ["owner", "on_crash", "lease_ms", "ttl_ms", "lease_until"].map(unless_parked).concat();
    format!(
        "ON CONFLICT (key) DO UPDATE SET
             version = 1, {kept}
             status = CASE WHEN {parks} THEN 'failed' ELSE 'processing' END,
             fence = CASE WHEN {parks} THEN r.fence WHEN r.expires_at <= {now} THEN 1 ELSE r.fence + 1 END,
             recovered = CASE WHEN {parks} THEN r.recovered WHEN {lapsed} THEN 1 ELSE 0 END,
             fingerprint = excluded.fingerprint,
             expires_at = CASE WHEN {parks} THEN {never} ELSE excluded.expires_at END,
             purge_after = CASE WHEN {parks} THEN {never} ELSE excluded.purge_after END,
             finished_at = CASE WHEN {parks} THEN {now} END,
             failure = CASE WHEN {parks} THEN 'indeterminate' END,
             size = CASE WHEN {parks} THEN 0 END,
             codec = NULL, payload = NULL, message = NULL
         WHERE {free}"
    )
}
