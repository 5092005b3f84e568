//! Numbers of advisory locks, which are the same in every build and release.

use sha2::{Digest, Sha256};

/// The number of the lock on `name`, for the purpose that `domain` names. Two names that share a
/// number wait for each other, which costs time alone.
///
/// All parts but the last must be free of the control character 0.
pub(super) fn advisory_lock(domain: &str, name: &[&str]) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update("idempotency");
    for part in [domain].iter().chain(name) {
        hasher.update([0]);
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    hash.first_chunk().map_or(0, |head| i64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::advisory_lock;

    /// Releases that disagree about a number migrate the same tables at once.
    #[test]
    fn numbers_never_change() {
        let lock = advisory_lock("migrations", &["\"idempotency_records_migrations\""]);
        assert_eq!(lock, 3_770_859_838_825_715_190);
    }

    #[test]
    fn domains_and_names_have_locks_of_their_own() {
        let locks = [
            advisory_lock("migrations", &["a"]),
            advisory_lock("migrations", &["b"]),
            advisory_lock("transaction", &["a"]),
            advisory_lock("transaction", &["a", "b"]),
            advisory_lock("transaction", &["ab"]),
        ];
        for (i, lock) in locks.iter().enumerate() {
            assert!(!locks[..i].contains(lock), "{i}");
        }
    }
}
