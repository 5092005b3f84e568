//! A record as bytes, for storages that keep bytes.

use std::time::Duration;

use bytes::Bytes;

use super::{
    CodecTag, CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State,
    Timestamp,
};
use crate::error::{StorageError, StorageErrorKind};
use crate::fingerprint::{Fingerprint, InvalidFingerprint};

/// Version of the layout that this library writes.
const VERSION: u8 = 1;
/// First bytes that later layouts have.
const LATER: std::ops::RangeInclusive<u8> = VERSION + 1..=31;
/// Version and length of what follows.
const HEAD_LEN: usize = 9;

impl Record {
    /// The record as bytes, which [`decode`](Self::decode) reads: in this version of the library,
    /// and in every later one.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use std::time::Duration;
    /// use idempotency::Fingerprint;
    /// use idempotency::record::{Fence, OwnerId, Record, State, Timestamp};
    ///
    /// let record = Record {
    ///     fingerprint: Fingerprint::of("charge", &1999)?,
    ///     owner: OwnerId::random(),
    ///     fence: Fence::FIRST,
    ///     state: State::Released,
    ///     expires_at: Timestamp::from_millis(1_767_225_600_000),
    /// };
    /// assert_eq!(Record::decode(&record.encode())?, record);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Layout
    ///
    /// | bytes | field |
    /// |---|---|
    /// | 1 | version of this layout: 1 |
    /// | 8 | length of what follows |
    /// | 16 | owner |
    /// | 8 | fence |
    /// | 33 | fingerprint |
    /// | 8 | when the record expires |
    /// | 1 | status: `P`rocessing, `R`eleased, `C`ompleted, `F`ailed |
    /// | … | processing: lease and ttl, each 8 bytes of seconds and 4 of nanoseconds; 8, when the lease is over; 1, the crash policy, `r`etry or `p`ark; 1, whether the owner took over from one that died, 0 or 1 |
    /// | … | completed: 8, when; the payload |
    /// | … | failed: 8, when; 1, the failure, a small letter: `e`rror (8, length of the message; the message; the payload, where there is one), too `l`arge (8, size), `u`nserializable, `i`ndeterminate |
    ///
    /// A payload is the length of its codec's tag in 1 byte, the tag, and all bytes that are left.
    /// Numbers are big-endian, moments are milliseconds since the Unix epoch. A layout that this
    /// one's reader would misread gets another version. A [`Failure`] that is added later gets
    /// another letter, and the version stays: older readers can read everything else.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend([0; HEAD_LEN - 1]);
        bytes.extend(self.owner.to_bytes());
        put_number(&mut bytes, self.fence.get());
        bytes.extend(self.fingerprint.as_bytes());
        put_number(&mut bytes, self.expires_at.as_millis());
        match &self.state {
            State::Processing { lease, lease_until, ttl, on_crash, recovered } => {
                bytes.push(b'P');
                put_duration(&mut bytes, *lease);
                put_duration(&mut bytes, *ttl);
                put_number(&mut bytes, lease_until.as_millis());
                bytes.push(match on_crash {
                    CrashPolicy::Retry => b'r',
                    CrashPolicy::Park => b'p',
                });
                bytes.push(u8::from(*recovered));
            }
            State::Released => bytes.push(b'R'),
            State::Finished(Finished { at, finish }) => {
                bytes.push(if matches!(finish, Finish::Completed(_)) { b'C' } else { b'F' });
                put_number(&mut bytes, at.as_millis());
                match finish {
                    Finish::Completed(payload) => put_payload(&mut bytes, payload),
                    Finish::Failed(failure) => put_failure(&mut bytes, failure),
                }
            }
        }
        let len = (bytes.len() - HEAD_LEN) as u64;
        bytes[1..HEAD_LEN].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) gave, whoever may have changed it since: no bytes are a
    /// panic, and none make it take more memory than they have themselves.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](StorageErrorKind::NewerVersion) for another version's layout, and for a
    /// fingerprint's algorithm or a [`Failure`] that this version does not know;
    /// [`Corrupt`](StorageErrorKind::Corrupt) for everything else that is no record, such as one
    /// that is cut off or has something behind it. What was damaged inside a payload or a message
    /// can still be read: a storage whose medium damages bytes adds a checksum. A storage answers
    /// its verbs with this error, and leaves the bytes as they are.
    pub fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(version) if LATER.contains(version) => return Err(newer()),
            _ => return Err(corrupt()),
        }
        let mut reader = Reader(&bytes[1..]);
        let len = reader.number()?;
        if len != reader.0.len() as u64 {
            return Err(corrupt());
        }
        reader.record()
    }
}

fn put_number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(number.to_be_bytes());
}

fn put_duration(bytes: &mut Vec<u8>, duration: Duration) {
    put_number(bytes, duration.as_secs());
    bytes.extend(duration.subsec_nanos().to_be_bytes());
}

fn put_payload(bytes: &mut Vec<u8>, payload: &Payload) {
    let tag = payload.codec.as_str().as_bytes();
    bytes.reserve(1 + tag.len() + payload.bytes.len());
    // A tag is at most 15 bytes long.
    bytes.push(u8::try_from(tag.len()).unwrap_or(0));
    bytes.extend(tag);
    bytes.extend_from_slice(&payload.bytes);
}

fn put_failure(bytes: &mut Vec<u8>, failure: &Failure) {
    match failure {
        Failure::Error { message, typed } => {
            bytes.push(b'e');
            put_number(bytes, message.len() as u64);
            bytes.extend(message.as_bytes());
            if let Some(payload) = typed {
                put_payload(bytes, payload);
            }
        }
        Failure::TooLarge { size } => {
            bytes.push(b'l');
            put_number(bytes, *size);
        }
        Failure::Unserializable => bytes.push(b'u'),
        Failure::Indeterminate => bytes.push(b'i'),
    }
}

fn corrupt() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "the stored record is damaged")
}

fn newer() -> StorageError {
    let message = "the record was written by a newer version of this library";
    StorageError::new(StorageErrorKind::NewerVersion, message)
}

/// Takes fields off the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn record(mut self) -> Result<Record, StorageError> {
        let owner = OwnerId::from_bytes(self.array()?);
        let fence = Fence::new(self.number()?);
        let fingerprint = Fingerprint::from_bytes(self.take(Fingerprint::LEN)?);
        let fingerprint = fingerprint.map_err(|invalid| match invalid {
            InvalidFingerprint::UnknownAlgorithm => newer(),
            _ => corrupt(),
        })?;
        let expires_at = self.moment()?;
        let state = match self.array()? {
            [b'P'] => self.processing()?,
            [b'R'] => State::Released,
            [b'C'] => {
                let at = self.moment()?;
                let finish = Finish::Completed(self.payload()?);
                State::Finished(Finished { at, finish })
            }
            [b'F'] => {
                let at = self.moment()?;
                let finish = Finish::Failed(self.failure()?);
                State::Finished(Finished { at, finish })
            }
            _ => return Err(corrupt()),
        };
        if self.0.is_empty() {
            Ok(Record { fingerprint, owner, fence, state, expires_at })
        } else {
            Err(corrupt())
        }
    }

    fn processing(&mut self) -> Result<State, StorageError> {
        let (lease, ttl) = (self.duration()?, self.duration()?);
        let lease_until = self.moment()?;
        let on_crash = match self.array()? {
            [b'r'] => CrashPolicy::Retry,
            [b'p'] => CrashPolicy::Park,
            _ => return Err(corrupt()),
        };
        let recovered = match self.array()? {
            [0] => false,
            [1] => true,
            _ => return Err(corrupt()),
        };
        Ok(State::Processing { lease, lease_until, ttl, on_crash, recovered })
    }

    fn failure(&mut self) -> Result<Failure, StorageError> {
        match self.array()? {
            [b'e'] => {
                let len = usize::try_from(self.number()?).map_err(|_| corrupt())?;
                let message = std::str::from_utf8(self.take(len)?).map_err(|_| corrupt())?;
                let message = message.to_owned();
                let typed = if self.0.is_empty() { None } else { Some(self.payload()?) };
                Ok(Failure::Error { message, typed })
            }
            [b'l'] => Ok(Failure::TooLarge { size: self.number()? }),
            [b'u'] => Ok(Failure::Unserializable),
            [b'i'] => Ok(Failure::Indeterminate),
            [letter] if letter.is_ascii_lowercase() => Err(newer()),
            _ => Err(corrupt()),
        }
    }

    /// A payload, which is all that is left.
    fn payload(&mut self) -> Result<Payload, StorageError> {
        let [len] = self.array()?;
        let tag = std::str::from_utf8(self.take(usize::from(len))?).map_err(|_| corrupt())?;
        let codec = CodecTag::new(tag).ok_or_else(corrupt)?;
        let bytes = self.take(self.0.len())?;
        Ok(Payload { codec, bytes: Bytes::copy_from_slice(bytes) })
    }

    fn duration(&mut self) -> Result<Duration, StorageError> {
        let (seconds, nanos) = (self.number()?, u32::from_be_bytes(self.array()?));
        // More would be carried into the seconds, and may overflow them.
        if nanos < 1_000_000_000 { Ok(Duration::new(seconds, nanos)) } else { Err(corrupt()) }
    }

    fn moment(&mut self) -> Result<Timestamp, StorageError> {
        self.number().map(Timestamp::from_millis)
    }

    fn number(&mut self) -> Result<u64, StorageError> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StorageError> {
        self.take(N)?.try_into().map_err(|_| corrupt())
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], StorageError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(corrupt)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
