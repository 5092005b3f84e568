//! The decoder, for a fuzzer. Not public API; exempt from semver.

use super::{
    FENCE, PREFIX_LEN, STATUS, StoredRecord, StoredState, encode_finish, finished_prefix,
    owner_prefix,
};
use crate::record::{CrashPolicy, millis};
use crate::storage::StorageError;

/// Decodes a record, and encodes it again. Fields that decoding drops are copied from the bytes:
/// the mark of waiters, the policy of a finished call, lease and ttl of a released one.
///
/// # Errors
///
/// `Corrupt` or `NewerVersion`, as for every storage verb.
pub fn written_again(bytes: &[u8]) -> Result<Vec<u8>, StorageError> {
    let StoredRecord { fingerprint, owner, fence, state } = StoredRecord::decode(bytes.to_vec())?;
    let mut prefix = [0; PREFIX_LEN];
    prefix[..STATUS].copy_from_slice(&owner_prefix(owner));
    let mut tail = Vec::new();
    match state {
        StoredState::Processing { lease, ttl, on_crash, recovered } => {
            prefix[STATUS] = if bytes.get(STATUS) == Some(&b'W') { b'W' } else { b'P' };
            tail.push(match (on_crash, recovered) {
                (CrashPolicy::Retry, false) => b'r',
                (CrashPolicy::Retry, true) => b'R',
                (CrashPolicy::Park, false) => b'p',
                (CrashPolicy::Park, true) => b'P',
            });
            tail.extend(millis(lease).to_be_bytes());
            tail.extend(millis(ttl).to_be_bytes());
        }
        StoredState::Released => {
            prefix[STATUS] = b'R';
            tail.extend(bytes.get(super::POLICY..).into_iter().flatten());
        }
        StoredState::Finished(finished) => {
            prefix = finished_prefix(owner, &finished.finish);
            tail.extend(bytes.get(super::POLICY));
            tail.extend(finished.at.as_millis().to_be_bytes());
            tail.extend(encode_finish(&finished.finish));
        }
    }
    debug_assert_eq!(prefix.len(), FENCE);
    Ok([&prefix, &fence.get().to_be_bytes()[..], fingerprint.as_bytes(), &tail].concat())
}
