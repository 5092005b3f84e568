//! The substitute for a key in error texts, spans and log lines.

use sha2::{Digest, Sha256};

/// Sixteen hex digits of the SHA-256 of a record's name.
pub(crate) fn key_hash(name: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(name).into();
    hash.first_chunk()
        .map_or_else(String::new, |head| format!("{:016x}", u64::from_be_bytes(*head)))
}
