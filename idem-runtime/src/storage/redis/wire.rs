//! The bytes of a record.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version of this layout |
//! | 1 | 16 | owner |
//! | 17 | 1 | status: `P`rocessing, processing and `W`aited for, `R`eleased, `C`ompleted, `F`ailed, `I`ndeterminate |
//! | 18 | 8 | fence |
//! | 26 | 33 | fingerprint |
//! | 59 | 1 | crash policy: `r`etry, `p`ark; a capital where the owner took over from one that died |
//! | 60 | 8 | processing, released: lease in ms; finished: when, in ms since the Unix epoch |
//! | 68 | 8 | processing, released: ttl in ms, and that is all; finished: length of what follows |
//! | 76 | … | completed: length and text of the codec tag, payload; failed: the failure; indeterminate: nothing |
//!
//! Numbers are big-endian. The scripts read the fields up to 76 at these offsets; what follows is
//! ours alone. A layout that is not compatible gets another version, which older readers answer
//! with an error and leave alone.

#[cfg(feature = "_fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

use crate::fingerprint::{Fingerprint, InvalidFingerprint};
use crate::record::{
    CodecTag, CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State,
    Timestamp, millis,
};
use crate::storage::{Claim, StorageError, StorageErrorKind};

const VERSION: u8 = 1;
const STATUS: usize = 17;
const FENCE: usize = 18;
const FINGERPRINT: usize = 26;
const POLICY: usize = 59;
const TIME: usize = 60;
const TTL: usize = 68;
const PROCESSING_LEN: usize = 76;
const LENGTH_LEN: usize = 8;
/// Length of version, owner and status.
pub(super) const PREFIX_LEN: usize = FENCE;

/// Extra retention of a record that is parked when its owner dies: 1000 years. It needs an expiry,
/// because the remaining time to live tells the remaining lease. The scripts repeat the number.
const PARKED_MILLIS: u64 = 31_557_600_000_000;

/// Durations are clamped to this, so that sums of them stay exact in Lua and within what Redis
/// takes as an expiry.
const MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A lease or ttl in the milliseconds that are sent: at most 100 years.
pub(super) fn clamped_millis(duration: Duration) -> u64 {
    millis(duration.min(MAX))
}

/// How long the record that `claim` makes is kept. At least 1 ms: Redis rejects an expiry of zero.
pub(super) fn retention_millis(claim: &Claim) -> u64 {
    let kept = (clamped_millis(claim.lease) + clamped_millis(claim.ttl)).max(1);
    match claim.on_crash {
        CrashPolicy::Retry => kept,
        CrashPolicy::Park => kept + PARKED_MILLIS,
    }
}

/// Version and owner: how every record of `owner` begins.
pub(super) fn owner_prefix(owner: OwnerId) -> [u8; STATUS] {
    let mut prefix = [VERSION; STATUS];
    prefix[1..].copy_from_slice(&owner.to_bytes());
    prefix
}

/// Version, owner and status: the first bytes of a record that `owner` is processing, without
/// waiters.
pub(super) fn processing_prefix(owner: OwnerId) -> [u8; PREFIX_LEN] {
    let mut prefix = [b'P'; PREFIX_LEN];
    prefix[..STATUS].copy_from_slice(&owner_prefix(owner));
    prefix
}

/// Version, owner and status: the first bytes of the record after `owner` has completed it with
/// `finish`.
pub(super) fn finished_prefix(owner: OwnerId, finish: &Finish) -> [u8; PREFIX_LEN] {
    let mut prefix = processing_prefix(owner);
    prefix[STATUS] = match finish {
        Finish::Completed(_) => b'C',
        Finish::Failed(Failure::Indeterminate) => b'I',
        Finish::Failed(_) => b'F',
    };
    prefix
}

/// The record that `claim` makes where there is none.
pub(super) fn encode_claim(claim: &Claim) -> [u8; PROCESSING_LEN] {
    let mut bytes = [0; PROCESSING_LEN];
    bytes[..FENCE].copy_from_slice(&processing_prefix(claim.owner));
    bytes[FENCE..FINGERPRINT].copy_from_slice(&Fence::FIRST.get().to_be_bytes());
    bytes[FINGERPRINT..POLICY].copy_from_slice(claim.fingerprint.as_bytes());
    bytes[POLICY] = match claim.on_crash {
        CrashPolicy::Retry => b'r',
        CrashPolicy::Park => b'p',
    };
    bytes[TIME..TTL].copy_from_slice(&clamped_millis(claim.lease).to_be_bytes());
    bytes[TTL..].copy_from_slice(&clamped_millis(claim.ttl).to_be_bytes());
    bytes
}

/// A finished record from offset 68 on. `complete.lua` adds the bytes before it, from the stored
/// record and the server's clock.
pub(super) fn encode_finish(finish: &Finish) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH_LEN];
    match finish {
        Finish::Completed(payload) => put_payload(&mut bytes, payload),
        Finish::Failed(failure) => put_failure(&mut bytes, failure),
    }
    let len = (bytes.len() - LENGTH_LEN) as u64;
    bytes[..LENGTH_LEN].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn put_failure(body: &mut Vec<u8>, failure: &Failure) {
    match failure {
        Failure::Error { message, typed } => {
            body.push(b'e');
            body.extend((message.len() as u64).to_be_bytes());
            body.extend(message.as_bytes());
            if let Some(payload) = typed {
                put_payload(body, payload);
            }
        }
        Failure::TooLarge { size } => {
            body.push(b'l');
            body.extend(size.to_be_bytes());
        }
        Failure::Unserializable => body.push(b'u'),
        // The status is enough.
        Failure::Indeterminate => {}
    }
}

fn put_payload(body: &mut Vec<u8>, payload: &Payload) {
    let tag = payload.codec.as_str().as_bytes();
    body.reserve(1 + tag.len() + payload.bytes.len());
    // A tag is at most 15 bytes long.
    body.push(u8::try_from(tag.len()).unwrap_or(0));
    body.extend(tag);
    body.extend_from_slice(&payload.bytes);
}

/// A decoded record without its deadlines, which the key's remaining time to live tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredRecord {
    pub(super) fingerprint: Fingerprint,
    pub(super) owner: OwnerId,
    pub(super) fence: Fence,
    pub(super) state: StoredState,
}

/// A [`State`] without deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoredState {
    Processing { lease: Duration, ttl: Duration, on_crash: CrashPolicy, recovered: bool },
    Released,
    Finished(Finished),
}

impl StoredRecord {
    /// Reads a record.
    pub(super) fn decode(bytes: Vec<u8>) -> Result<Self, StorageError> {
        match bytes.first() {
            Some(&VERSION) => {
                let fingerprint = bytes.get(FINGERPRINT..POLICY).map(Fingerprint::from_bytes);
                let failure = bytes.get(PROCESSING_LEN).filter(|_| bytes[STATUS] == b'F');
                if fingerprint == Some(Err(InvalidFingerprint::UnknownAlgorithm))
                    || failure.is_some_and(|letter| is_newer_failure_tag(*letter))
                {
                    return Err(newer());
                }
                RecordReader(Bytes::from(bytes)).stored().ok_or_else(corrupt)
            }
            Some(2..=31) => Err(newer()),
            _ => Err(corrupt()),
        }
    }

    /// The record with its deadlines. The key expires `left` milliseconds after `now`, but a record
    /// that is parked, or will be when its owner dies, never expires.
    pub(super) fn into_record(self, left: u64, now: Timestamp) -> Record {
        let gone_at = now.after(Duration::from_millis(left));
        let (state, expires_at) = match self.state {
            StoredState::Processing { lease, ttl, on_crash, recovered } => {
                let after_lease = match on_crash {
                    CrashPolicy::Retry => millis(ttl),
                    CrashPolicy::Park => millis(ttl).saturating_add(PARKED_MILLIS),
                };
                let until = gone_at.as_millis().saturating_sub(after_lease);
                let lease_until = Timestamp::from_millis(until);
                let state = State::Processing { lease, lease_until, ttl, on_crash, recovered };
                (state, on_crash.expires_at(lease_until, ttl))
            }
            StoredState::Released => (State::Released, gone_at),
            StoredState::Finished(finished) => {
                let expires_at =
                    if finished.finish.is_parked() { Timestamp::NEVER } else { gone_at };
                (State::Finished(finished), expires_at)
            }
        };
        let Self { fingerprint, owner, fence, .. } = self;
        Record { fingerprint, owner, fence, state, expires_at }
    }
}

/// Whether a letter is that of a failure which this version does not know.
fn is_newer_failure_tag(letter: u8) -> bool {
    letter.is_ascii_lowercase() && !matches!(letter, b'e' | b'l' | b'u')
}

/// The error for a record that another version of this library can read.
fn newer() -> StorageError {
    let message = "the record was written by a newer version of this library";
    StorageError::new(StorageErrorKind::NewerVersion, message)
}

/// The error for bytes that are no record.
pub(super) fn corrupt() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "the stored record is damaged")
}

/// Takes fields off the front; `None` where there is nothing to take.
struct RecordReader(Bytes);

impl RecordReader {
    fn stored(mut self) -> Option<StoredRecord> {
        self.take(1)?;
        let owner = OwnerId::from_bytes(self.array()?);
        let [status] = self.array()?;
        let fence = Fence::new(self.number()?);
        let fingerprint = Fingerprint::from_bytes(&self.take(Fingerprint::LEN)?).ok()?;
        let [policy] = self.array()?;
        let on_crash = match policy.to_ascii_lowercase() {
            b'r' => CrashPolicy::Retry,
            b'p' => CrashPolicy::Park,
            _ => return None,
        };
        let recovered = policy.is_ascii_uppercase();
        let (time, number) = (self.number()?, self.number()?);
        let state = if matches!(status, b'P' | b'W' | b'R') {
            let (lease, ttl) = (Duration::from_millis(time), Duration::from_millis(number));
            let state = match status {
                b'R' => StoredState::Released,
                _ => StoredState::Processing { lease, ttl, on_crash, recovered },
            };
            self.0.is_empty().then_some(state)?
        } else {
            let is_whole = self.0.len() as u64 == number;
            let finish = is_whole.then(|| self.finish(status))??;
            StoredState::Finished(Finished { at: Timestamp::from_millis(time), finish })
        };
        Some(StoredRecord { fingerprint, owner, fence, state })
    }

    fn finish(self, status: u8) -> Option<Finish> {
        match status {
            b'C' => Some(Finish::Completed(self.payload()?)),
            b'F' => Some(Finish::Failed(self.failure()?)),
            b'I' => self.0.is_empty().then_some(Finish::Failed(Failure::Indeterminate)),
            _ => None,
        }
    }

    fn failure(mut self) -> Option<Failure> {
        match self.array()? {
            [b'e'] => {
                let len = usize::try_from(self.number()?).ok()?;
                let message = text(&self.take(len)?)?;
                let typed = if self.0.is_empty() { None } else { Some(self.payload()?) };
                Some(Failure::Error { message, typed })
            }
            [b'l'] => {
                let size = self.number()?;
                self.0.is_empty().then_some(Failure::TooLarge { size })
            }
            [b'u'] => self.0.is_empty().then_some(Failure::Unserializable),
            _ => None,
        }
    }

    /// A payload, which is all that is left.
    fn payload(mut self) -> Option<Payload> {
        let [len] = self.array()?;
        let tag = self.take(usize::from(len))?;
        let codec = CodecTag::new(std::str::from_utf8(&tag).ok()?)?;
        Some(Payload { codec, bytes: self.0 })
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?[..].try_into().ok()
    }

    fn take(&mut self, len: usize) -> Option<Bytes> {
        (len <= self.0.len()).then(|| self.0.split_to(len))
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
