//! What stands for a key in the texts of errors, in spans and in log lines.

use sha2::{Digest, Sha256};

/// Sixteen hex digits of the SHA-256 of a record's name.
pub(crate) fn key_hash(name: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(name).into();
    hash.first_chunk()
        .map_or_else(String::new, |head| format!("{:016x}", u64::from_be_bytes(*head)))
}
