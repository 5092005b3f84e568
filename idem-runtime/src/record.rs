//! What a storage holds for a key. Pure data: the transitions are in
//! [`storage::transition`](crate::storage::transition).

mod codec_tag;
mod encoded;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
pub use codec_tag::CodecTag;
use uuid::Uuid;

use crate::fingerprint::Fingerprint;

/// A point on the storage's clock: milliseconds since the Unix epoch.
///
/// `Display` writes RFC 3339, in UTC and with milliseconds. RFC 3339 ends with the year 9999, so a
/// later point is displayed as [`NEVER`](Self::NEVER) is.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::record::Timestamp;
///
/// let moment = Timestamp::from_millis(1_767_225_600_007);
/// assert_eq!(moment.to_string(), "2026-01-01T00:00:00.007Z");
/// assert_eq!(Timestamp::NEVER.to_string(), "9999-12-31T23:59:59.999Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The expiry of a record that does not expire by itself: the end of the year 9999, which every
    /// tool can show. No sum of a timestamp, a lease and a ttl reaches it.
    pub const NEVER: Self = Self(253_402_300_799_999);

    /// A point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `duration` later, in whole milliseconds; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The point `duration` earlier, without the fraction of a millisecond; saturates.
    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_millis().try_into().unwrap_or(u64::MAX)))
    }

    /// The time from `now` until `self`: zero if `self` has passed.
    pub fn left_at(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = SystemTime::from((*self).min(Self::NEVER));
        // As text, so that a width counts.
        f.pad(&humantime::format_rfc3339_millis(shown).to_string())
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

/// A duration in whole milliseconds, rounded up, so that a short duration never becomes zero.
pub fn millis(duration: Duration) -> u64 {
    let below_a_second = u64::from(duration.subsec_nanos()).div_ceil(1_000_000);
    duration.as_secs().saturating_mul(1000).saturating_add(below_a_second)
}

/// 128-bit random id of a claim; every later write of its owner is compared with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(u128);

impl OwnerId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_u128())
    }

    /// A fresh random id whose last 32 bits are the operation's tag. 96 random bits are unique
    /// enough.
    pub(crate) fn random_with(tag: u32) -> Self {
        let random = Uuid::new_v4().as_u128();
        Self(random >> 32 << 32 | u128::from(tag))
    }

    /// The tag of its operation, if it was made with one.
    pub(crate) fn tag(self) -> u32 {
        let [.., a, b, c, d] = self.to_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The id's bytes, most significant first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id with these bytes, most significant first.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({self})")
    }
}

/// Fencing token: higher for every later owner of a key while its record is kept, whether the
/// previous owner died, released the key, or was cancelled. Pass it to downstream systems, so that
/// they can reject a writer that is no longer the owner. It starts again at 1 once the record has
/// expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The fence of a record's first owner.
    pub const FIRST: Self = Self(1);

    /// The fence with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number to send downstream.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The fence of the owner after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happens to a key whose owner died.
///
/// Exhaustive, as all enums of the storage contract are: a storage has to handle every variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum CrashPolicy {
    /// The next caller runs the body again: at least once.
    #[default]
    Retry,
    /// The record becomes `Failed(Indeterminate)`, which only an operator or its late owner
    /// resolves: at most once. Such a record does not expire, and neither does the record of a
    /// running owner.
    Park,
}

impl CrashPolicy {
    /// The expiry of a `Processing` record whose lease ends at `lease_until`, kept for `ttl`
    /// longer.
    pub(crate) fn expires_at(self, lease_until: Timestamp, ttl: Duration) -> Timestamp {
        match self {
            Self::Retry => lease_until.after(ttl),
            Self::Park => Timestamp::NEVER,
        }
    }
}

/// Encoded result, with the tag of the codec that wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// Which codec wrote the bytes.
    pub codec: CodecTag,
    /// The encoded value.
    pub bytes: Bytes,
}

impl fmt::Debug for Payload {
    /// Shows codec and size alone: payloads are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.codec, self.bytes.len())
    }
}

/// Why a record is `Failed`.
///
/// Later versions may add variants. A storage with columns or fields of its own refuses to store a
/// variant that it does not know, with
/// [`NotApplied`](crate::storage::StorageErrorKind::NotApplied): it would replay a different
/// failure. A storage that stores [`Record::encode`] handles all variants of this version.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The body returned an error: its text, and the encoded error itself where the operation
    /// replays errors.
    Error {
        /// The error's text.
        message: String,
        /// The encoded error, for a typed replay.
        typed: Option<Payload>,
    },
    /// The owner died and the crash policy was [`CrashPolicy::Park`].
    Indeterminate,
    /// The body succeeded but its result was over the size limit.
    TooLarge {
        /// Size of the encoded result in bytes.
        size: u64,
    },
    /// The body succeeded but its result could not be encoded.
    Unserializable,
}

impl fmt::Debug for Failure {
    /// Shows the size of messages alone: they are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { message, typed } => f
                .debug_struct("Error")
                .field("message_bytes", &message.len())
                .field("typed", typed)
                .finish(),
            Self::Indeterminate => f.write_str("Indeterminate"),
            Self::TooLarge { size } => f.debug_struct("TooLarge").field("size", size).finish(),
            Self::Unserializable => f.write_str("Unserializable"),
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum Finish {
    /// With a result.
    Completed(Payload),
    /// Without a result.
    Failed(Failure),
}

impl Finish {
    /// Whether the record is parked: kept until an operator or its late owner resolves it.
    pub fn is_parked(&self) -> bool {
        matches!(self, Self::Failed(Failure::Indeterminate))
    }

    /// The expiry of a record finished at `now` and kept for `ttl`.
    pub(crate) fn expires_at(&self, now: Timestamp, ttl: Duration) -> Timestamp {
        if self.is_parked() { Timestamp::NEVER } else { now.after(ttl) }
    }
}

/// The recorded outcome of an operation, which its duplicates get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// When it was recorded, by the storage's clock.
    pub at: Timestamp,
    /// How the operation ended.
    pub finish: Finish,
}

/// A record's status, with the fields of that status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum State {
    /// An owner is running the body, or died.
    Processing {
        /// How long the owner may be silent.
        lease: Duration,
        /// When others may take over.
        lease_until: Timestamp,
        /// Retention of the record once it is released.
        ttl: Duration,
        /// What a takeover does.
        on_crash: CrashPolicy,
        /// Whether this owner took over from an owner that died.
        recovered: bool,
    },
    /// The last owner released the key: the next claim runs the body, with the next fence.
    Released,
    /// The operation has a recorded outcome.
    Finished(Finished),
}

/// Status of a record; no record at all is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a storage handles every variant")]
pub enum Status {
    /// An owner is running the body, or died and was not taken over yet.
    Processing,
    /// Duplicates get the stored result.
    Completed,
    /// Duplicates get the stored failure.
    Failed,
    /// The key has no owner; the record keeps the fence.
    Released,
}

/// What a storage holds for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Operation and arguments of the claim that made the record.
    pub fingerprint: Fingerprint,
    /// The last owner.
    pub owner: OwnerId,
    /// The last owner's fence.
    pub fence: Fence,
    /// Its status, with the fields of that status.
    pub state: State,
    /// When retention ends; for a `Processing` record always after its lease. [`Timestamp::NEVER`]
    /// for a parked record, and for one that parks if its owner dies.
    pub expires_at: Timestamp,
}

impl Record {
    /// Its status.
    pub fn status(&self) -> Status {
        match &self.state {
            State::Processing { .. } => Status::Processing,
            State::Released => Status::Released,
            State::Finished(Finished { finish: Finish::Completed(_), .. }) => Status::Completed,
            State::Finished(Finished { finish: Finish::Failed(_), .. }) => Status::Failed,
        }
    }

    /// Whether retention is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now && self.expires_at != Timestamp::NEVER
    }

    /// Whether the operation's owner died under [`CrashPolicy::Park`] and nobody has resolved it
    /// yet.
    pub fn is_parked(&self) -> bool {
        matches!(&self.state, State::Finished(finished) if finished.finish.is_parked())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SystemTime, Timestamp};

    #[test]
    fn timestamps_display_as_rfc_3339_says() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (Timestamp::NEVER.as_millis(), "9999-12-31T23:59:59.999Z"),
            // There is no notation for what is later.
            (Timestamp::NEVER.as_millis() + 1, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), shown, "{millis}");
        }
        assert_eq!(format!("{:>26}|", Timestamp::from_millis(0)), "  1970-01-01T00:00:00.000Z|");
    }

    proptest! {
        #[test]
        fn what_a_timestamp_displays_is_that_moment_and_sorts_like_it(
            one in 0..=Timestamp::NEVER.as_millis(),
            other in 0..=Timestamp::NEVER.as_millis(),
        ) {
            let (one, other) = (Timestamp::from_millis(one), Timestamp::from_millis(other));
            let shown = one.to_string();
            let read: SystemTime = humantime::parse_rfc3339(&shown).unwrap();
            prop_assert_eq!(read, SystemTime::from(one));
            prop_assert_eq!(shown.cmp(&other.to_string()), one.cmp(&other));
        }
    }
}
