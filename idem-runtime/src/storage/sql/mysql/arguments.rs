//! Batches as JSON arguments of the [`statements`](super::statements).

use serde::{Serialize, Serializer};

use super::super::row::{clamped_millis, policy};
use super::super::verb::KeyedVerb;
use super::lookup::Predecessor;
use crate::hex;
use crate::key::RecordKey;
use crate::storage::Claim;

/// Bytes as hex digits, which need no escaping in a statement.
#[derive(Clone, Copy)]
struct Hex<B>(B);

impl<B: AsRef<[u8]>> Serialize for Hex<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0.as_ref()))
    }
}

/// The keys of verbs.
pub(super) fn keys<'a>(keys: impl IntoIterator<Item = &'a RecordKey>) -> String {
    json(keys.into_iter().map(|key| [Hex(key.as_str())]))
}

/// Keys as they are stored.
pub(super) fn stored_keys(keys: &[String]) -> String {
    json(keys.iter().map(|key| [Hex(key)]))
}

/// The keys and owners of verbs.
pub(super) fn owned<'a, V: KeyedVerb>(verbs: impl IntoIterator<Item = &'a V>) -> String {
    let fields = |verb: &'a V| (Hex(verb.key().as_str()), Hex(verb.owner().to_bytes()));
    json(verbs.into_iter().map(fields))
}

/// Claims.
pub(super) fn claims<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> String {
    json(claims.into_iter().map(claim))
}

/// Claims that take over from previous owners.
pub(super) fn takeovers<'a>(
    claims: impl IntoIterator<Item = (&'a Claim, &'a Predecessor)>,
) -> String {
    json(claims.into_iter().map(|(asked, before)| {
        let (key, owner, fingerprint, policy, lease, ttl) = claim(asked);
        let (fence, recovered) = (before.held.fence.get(), u8::from(before.has_died));
        (key, owner, fingerprint, policy, lease, ttl, fence, recovered)
    }))
}

type ClaimFields<'a> = (Hex<&'a str>, Hex<[u8; 16]>, Hex<&'a [u8]>, &'static str, i64, i64);

fn claim(claim: &Claim) -> ClaimFields<'_> {
    (
        Hex(claim.key.as_str()),
        Hex(claim.owner.to_bytes()),
        Hex(&claim.fingerprint.as_bytes()[..]),
        policy(claim.on_crash),
        clamped_millis(claim.lease),
        clamped_millis(claim.ttl),
    )
}

fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> String {
    let rows: Vec<T> = rows.collect();
    // Texts and numbers are always JSON.
    serde_json::to_string(&rows).unwrap_or_default()
}
