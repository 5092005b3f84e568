//! Batches as JSON arguments of the [`statements`](super::statements).

use serde::{Serialize, Serializer};

use super::super::row::{clamped_millis, policy};
use super::super::verb::Verb;
use super::lookup::Predecessor;
use crate::hex;
use crate::key::RecordKey;
use crate::record::OwnerId;
use crate::storage::Claim;

/// Bytes as hex digits, which need no escaping in a statement.
#[derive(Clone, Copy)]
struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// The keys of verbs.
pub(super) fn keys<'a>(keys: impl IntoIterator<Item = &'a RecordKey>) -> String {
    json(keys.into_iter().map(|key| [Hex(key.as_str().as_bytes())]))
}

/// Keys as they are stored.
pub(super) fn stored_keys(keys: &[String]) -> String {
    json(keys.iter().map(|key| [Hex(key.as_bytes())]))
}

/// The keys and owners of verbs.
pub(super) fn owned<'a, V: Verb>(
    verbs: impl IntoIterator<Item = &'a V>,
    owner: impl Fn(&V) -> OwnerId,
) -> String {
    let fields = |verb: &'a V| {
        let owner = owner(verb).to_bytes();
        (Hex(verb.key().as_str().as_bytes()), OwnedHex(owner))
    };
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

fn claim(claim: &Claim) -> (Hex<'_>, OwnedHex, Hex<'_>, &'static str, i64, i64) {
    (
        Hex(claim.key.as_str().as_bytes()),
        OwnedHex(claim.owner.to_bytes()),
        Hex(claim.fingerprint.as_bytes()),
        policy(claim.on_crash),
        clamped_millis(claim.lease),
        clamped_millis(claim.ttl),
    )
}

/// An owner's id as hex digits.
struct OwnedHex([u8; 16]);

impl Serialize for OwnedHex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hex(&self.0).serialize(serializer)
    }
}

fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> String {
    let rows: Vec<T> = rows.collect();
    // Texts and numbers are always JSON.
    serde_json::to_string(&rows).unwrap_or_default()
}
