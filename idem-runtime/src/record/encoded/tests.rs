//! Whatever is written is read as it was; whatever is not is told, and is no panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn payloads() -> impl Strategy<Value = Payload> {
    ("[A-Za-z0-9-]{1,15}", vec(any::<u8>(), 0..64)).prop_filter_map("a tag", |(tag, bytes)| {
        Some(Payload { codec: CodecTag::new(&tag)?, bytes: bytes.into() })
    })
}

fn finishes() -> impl Strategy<Value = Finish> {
    prop_oneof![
        payloads().prop_map(Finish::Completed),
        (any::<String>(), proptest::option::of(payloads()))
            .prop_map(|(message, typed)| Finish::Failed(Failure::Error { message, typed })),
        any::<u64>().prop_map(|size| Finish::Failed(Failure::TooLarge { size })),
        Just(Finish::Failed(Failure::Unserializable)),
        Just(Finish::Failed(Failure::Indeterminate)),
    ]
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(Timestamp::NEVER), any::<u64>().prop_map(Timestamp::from_millis)]
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        (durations(), moments(), durations(), any::<bool>(), any::<bool>()).prop_map(
            |(lease, lease_until, ttl, park, recovered)| {
                let on_crash = if park { CrashPolicy::Park } else { CrashPolicy::Retry };
                State::Processing { lease, lease_until, ttl, on_crash, recovered }
            }
        ),
        Just(State::Released),
        (moments(), finishes()).prop_map(|(at, finish)| State::Finished(Finished { at, finish })),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    (any::<[u8; 16]>(), any::<u64>(), any::<u32>(), states(), moments()).prop_map(
        |(owner, fence, arguments, state, expires_at)| Record {
            fingerprint: Fingerprint::of("charge", &arguments).expect("a number has a form"),
            owner: OwnerId::from_bytes(owner),
            fence: Fence::new(fence),
            state,
            expires_at,
        },
    )
}

fn kind(bytes: &[u8]) -> StorageErrorKind {
    Record::decode(bytes).expect_err("it is no record").kind()
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(record in records()) {
        prop_assert_eq!(Record::decode(&record.encode()).expect("it was written so"), record);
    }

    #[test]
    fn a_record_that_is_cut_or_has_something_behind_it_is_damaged(
        record in records(), cut in any::<prop::sample::Index>(), more in vec(any::<u8>(), 1..9),
    ) {
        let bytes = record.encode();
        prop_assert_eq!(kind(&bytes[..cut.index(bytes.len())]), StorageErrorKind::Corrupt);
        prop_assert_eq!(kind(&[&bytes[..], &more].concat()), StorageErrorKind::Corrupt);
    }

    #[test]
    fn a_changed_byte_is_another_record_or_an_error(
        record in records(), at in any::<prop::sample::Index>(), by in 1..=255_u8,
    ) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(read) = Record::decode(&bytes) {
            prop_assert_ne!(&read, &record);
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(mut bytes in vec(any::<u8>(), 0..300), shaped: bool) {
        if shaped && bytes.len() > HEAD_LEN {
            bytes[0] = VERSION;
            let len = (bytes.len() - HEAD_LEN) as u64;
            bytes[1..HEAD_LEN].copy_from_slice(&len.to_be_bytes());
            if let Some(status) = bytes.get_mut(74) {
                *status = b"PRCF"[usize::from(*status % 4)];
            }
            if let Some(algorithm) = bytes.get_mut(33) {
                *algorithm = 1;
            }
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}

fn failed() -> Vec<u8> {
    let finish = Finish::Failed(Failure::Unserializable);
    let at = Timestamp::from_millis(1);
    Record {
        fingerprint: Fingerprint::of("charge", &1).expect("a number has a form"),
        owner: OwnerId::from_bytes([7; 16]),
        fence: Fence::FIRST,
        state: State::Finished(Finished { at, finish }),
        expires_at: Timestamp::from_millis(2),
    }
    .encode()
}

#[test]
fn what_a_later_version_wrote_is_told_from_damage() {
    let changed = |at: usize, to: u8| {
        let mut bytes = failed();
        bytes[at] = to;
        kind(&bytes)
    };
    let failure = failed().len() - 1;
    assert_eq!(failed()[failure], b'u');
    // A version, an algorithm and a failure that are not there yet.
    assert_eq!(changed(0, 2), StorageErrorKind::NewerVersion);
    assert_eq!(changed(HEAD_LEN + 16 + 8, 2), StorageErrorKind::NewerVersion);
    assert_eq!(changed(failure, b'z'), StorageErrorKind::NewerVersion);
    // And what no version writes.
    assert_eq!(changed(0, 0), StorageErrorKind::Corrupt);
    assert_eq!(changed(0, b'{'), StorageErrorKind::Corrupt);
    assert_eq!(changed(failure, b'U'), StorageErrorKind::Corrupt);
    assert_eq!(kind(&[]), StorageErrorKind::Corrupt);
    assert_eq!(kind(b"{\"done\":true}"), StorageErrorKind::Corrupt);
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let mut bytes = failed();
    let failure = bytes.len() - 1;
    bytes[failure] = b'e';
    bytes.extend(u64::MAX.to_be_bytes());
    let len = (bytes.len() - HEAD_LEN) as u64;
    bytes[1..HEAD_LEN].copy_from_slice(&len.to_be_bytes());
    assert_eq!(kind(&bytes), StorageErrorKind::Corrupt);
    bytes[1..HEAD_LEN].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(kind(&bytes), StorageErrorKind::Corrupt);
}

/// What is in stores must be read by every later version: these bytes never change.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = failed();
    let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let fingerprint = Fingerprint::of("charge", &1).expect("a number has a form");
    let hash = &fingerprint.to_string()[3..];
    let owner = "07".repeat(16);
    let expected = format!(
        "01{len:016x}{owner}{fence:016x}01{hash}{expires:016x}46{at:016x}75",
        len = 16 + 8 + 33 + 8 + 1 + 8 + 1,
        fence = 1,
        expires = 2,
        at = 1,
    );
    assert_eq!(hex, expected);
}
