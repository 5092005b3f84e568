//! What a storage holds for a key. Pure data: the transitions are in [`storage::transition`](crate::storage::transition).

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
/// It displays as RFC 3339 says, in UTC and with milliseconds. That notation ends with the year
/// 9999, and so does what is shown: whatever is later displays as [`NEVER`](Self::NEVER) does.
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
    /// When a record expires that does not expire by itself: the end of the year 9999, which every
    /// tool can show. No sum of a moment, a lease and a ttl reaches it.
    pub const NEVER: Self = Self(253_402_300_799_999);

    /// A point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `duration` later, in whole milliseconds; the far end of time instead of an overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The point `duration` earlier, without the fraction of a millisecond; the beginning of time instead of an underflow.
    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_millis().try_into().unwrap_or(u64::MAX)))
    }

    /// How far `self` lies behind `now`: zero where it has been reached.
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

/// A duration in whole milliseconds, rounded up, so that "a little" never becomes "none".
pub fn millis(duration: Duration) -> u64 {
    let below_a_second = u64::from(duration.subsec_nanos()).div_ceil(1_000_000);
    duration.as_secs().saturating_mul(1000).saturating_add(below_a_second)
}

/// 128-bit random id that a caller makes for each claim; every later write compares it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(u128);

impl OwnerId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_u128())
    }

    /// A fresh random id of a claim, whose last 32 bits are the operation's tag. What is left is more than enough to be unique.
    pub(crate) fn random_with(tag: u32) -> Self {
        let random = Uuid::new_v4().as_u128();
        Self(random >> 32 << 32 | u128::from(tag))
    }

    /// The tag of the operation that it was made for, if it was made for one.
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

/// Fencing token: higher for every later owner of a key while its record lives, whether the owner
/// before died, released the key, or was cancelled. Hand it to downstream systems, so that they can
/// reject a writer that is no longer the owner. It starts again at 1 when the record is gone.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CrashPolicy {
    /// The next caller runs the body again: at least once.
    #[default]
    Retry,
    /// The record becomes `Failed(Indeterminate)`, which only an operator or the late owner resolves: at most once. Until then it does
    /// not expire, and neither does the record of an owner at work.
    Park,
}

impl CrashPolicy {
    /// When the record of an owner expires whose lease lasts until then, and that is to be kept for `ttl` after it.
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
    /// Payloads are users' data: only codec and size are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.codec, self.bytes.len())
    }
}

/// Why a record is `Failed`.
///
/// More may come. A storage that has columns or fields of its own for them refuses, with an error of kind
/// [`NotApplied`](crate::storage::StorageErrorKind::NotApplied), to store one that it does not know, since a duplicate would be told
/// something else; one that stores [`Record::encode`] knows all that this version has.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The body returned an error: its text, and the encoded error itself where the operation replays errors.
    Error {
        /// The error's text.
        message: String,
        /// The encoded error, to be replayed as it was.
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
    /// Messages are users' data: only their size is shown.
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
pub enum Finish {
    /// With a result.
    Completed(Payload),
    /// Without one.
    Failed(Failure),
}

impl Finish {
    /// Whether it waits for an operator, or for its late owner, and is kept until one of them has come.
    pub fn is_parked(&self) -> bool {
        matches!(self, Self::Failed(Failure::Indeterminate))
    }

    /// When a record expires that ends so at `now` and is to be kept for `ttl`.
    pub(crate) fn expires_at(&self, now: Timestamp, ttl: Duration) -> Timestamp {
        if self.is_parked() { Timestamp::NEVER } else { now.after(ttl) }
    }
}

/// An operation that has ended: what its duplicates get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// When the end was recorded, by the storage's clock.
    pub at: Timestamp,
    /// How it ended.
    pub finish: Finish,
}

/// A record's state with what belongs to that state only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// An owner is at work, or died.
    Processing {
        /// How long the owner may be silent.
        lease: Duration,
        /// When others may take over.
        lease_until: Timestamp,
        /// Retention the claim asked for; that of the record once it is released.
        ttl: Duration,
        /// What a takeover does.
        on_crash: CrashPolicy,
        /// Whether this owner took over from one that died.
        recovered: bool,
    },
    /// The last owner gave the key back: the next claim runs, with the next fence.
    Released,
    /// It has ended.
    Finished(Finished),
}

/// Status of a record; no record at all is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// An owner is at work, or died and was not yet taken over.
    Processing,
    /// The result is there to be replayed.
    Completed,
    /// A failure is there to be replayed.
    Failed,
    /// Nobody is at work; the record keeps the fence.
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
    /// Where it stands.
    pub state: State,
    /// When the storage forgets it; for a `Processing` record always after its lease. [`Timestamp::NEVER`] for a record that is parked,
    /// or would be if its owner died.
    pub expires_at: Timestamp,
}

impl Record {
    /// Where it stands, without details.
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

    /// Whether the operation's owner died under [`CrashPolicy::Park`] and nobody has resolved it yet.
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
