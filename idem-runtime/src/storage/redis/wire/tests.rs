//! Round trips, damage, and newer versions.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::key::{Key, RecordKey};

fn finishes() -> impl Strategy<Value = Finish> {
    let payload = ("[a-z0-9-]{1,15}", vec(any::<u8>(), 0..64))
        .prop_filter_map("a codec tag", |(tag, bytes)| {
            Some(Payload { codec: CodecTag::new(&tag)?, bytes: bytes.into() })
        });
    prop_oneof![
        payload.clone().prop_map(Finish::Completed),
        (any::<String>(), proptest::option::of(payload))
            .prop_map(|(message, typed)| Finish::Failed(Failure::Error { message, typed })),
        any::<u64>().prop_map(|size| Finish::Failed(Failure::TooLarge { size })),
        Just(Finish::Failed(Failure::Unserializable)),
        Just(Finish::Failed(Failure::Indeterminate)),
    ]
}

fn claim(owner: [u8; 16], lease: u64, ttl: u64, park: bool) -> Claim {
    Claim {
        key: RecordKey::new("wire", None, &Key::new("key").unwrap()).unwrap(),
        owner: OwnerId::from_bytes(owner),
        fingerprint: Fingerprint::of("charge", &lease).unwrap(),
        lease: Duration::from_millis(lease),
        ttl: Duration::from_millis(ttl),
        on_crash: if park { CrashPolicy::Park } else { CrashPolicy::Retry },
    }
}

/// What the script makes of `claim`'s record when it ends so.
fn finished(claim: &Claim, at: u64, finish: &Finish) -> Vec<u8> {
    let prefix = finished_prefix(claim.owner, finish);
    let (before, tail) = (encode_claim(claim), encode_finish(finish));
    [&prefix, &before[FENCE..TIME], &at.to_be_bytes(), &tail].concat()
}

proptest! {
    #[test]
    fn a_claim_is_read_as_it_was_written(
        owner: [u8; 16], lease in 0..1_u64 << 40, ttl in 0..1_u64 << 40, park: bool,
    ) {
        let claim = claim(owner, lease, ttl, park);
        let stored = StoredRecord::decode(encode_claim(&claim).to_vec()).unwrap();
        let Claim { fingerprint, owner, lease, ttl, on_crash, .. } = claim;
        let state = StoredState::Processing { lease, ttl, on_crash, recovered: false };
        prop_assert_eq!(stored, StoredRecord { fingerprint, owner, fence: Fence::FIRST, state });
    }

    #[test]
    fn a_released_record_and_that_of_a_takeover_are_told_from_a_claims(
        owner: [u8; 16], lease in 0..1_u64 << 40, ttl in 0..1_u64 << 40, park: bool,
    ) {
        let claim = claim(owner, lease, ttl, park);
        let mut bytes = encode_claim(&claim).to_vec();
        bytes[POLICY] = bytes[POLICY].to_ascii_uppercase();
        let Claim { lease, ttl, on_crash, .. } = claim;
        let taken = StoredState::Processing { lease, ttl, on_crash, recovered: true };
        prop_assert_eq!(StoredRecord::decode(bytes.clone()).unwrap().state, taken);
        bytes[STATUS] = b'R';
        prop_assert_eq!(StoredRecord::decode(bytes).unwrap().state, StoredState::Released);
    }

    #[test]
    fn a_result_is_read_as_it_was_written(owner: [u8; 16], at: u64, finish in finishes()) {
        let bytes = finished(&claim(owner, 1, 1, false), at, &finish);
        let stored = StoredRecord::decode(bytes).unwrap();
        let at = Timestamp::from_millis(at);
        prop_assert_eq!(stored.state, StoredState::Finished(Finished { at, finish }));
    }

    #[test]
    fn a_record_that_is_cut_or_has_something_behind_it_is_damaged(
        finish in finishes(), cut in any::<prop::sample::Index>(), more in vec(any::<u8>(), 1..9),
    ) {
        let claim = claim([7; 16], 1, 1, false);
        let released = [&owner_prefix(claim.owner)[..], b"R", &encode_claim(&claim)[FENCE..]].concat();
        for bytes in [encode_claim(&claim).to_vec(), released, finished(&claim, 1, &finish)] {
            let short = bytes[..cut.index(bytes.len())].to_vec();
            let long = [&bytes[..], &more].concat();
            for bytes in [short, long] {
                let error = StoredRecord::decode(bytes).unwrap_err();
                prop_assert_eq!(error.kind(), StorageErrorKind::Corrupt);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(mut bytes in vec(any::<u8>(), 0..200), versioned: bool) {
        if let (Some(version), true) = (bytes.first_mut(), versioned) {
            *version = VERSION;
        }
        let _ = StoredRecord::decode(bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_a_panic(
        finish in finishes(), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = finished(&claim([7; 16], 1, 1, true), 1, &finish);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = StoredRecord::decode(bytes);
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut bytes = encode_claim(&claim([7; 16], 1, 1, false)).to_vec();
    bytes[0] = VERSION + 1;
    assert_eq!(StoredRecord::decode(bytes).unwrap_err().kind(), StorageErrorKind::NewerVersion);
    let mut bytes = encode_claim(&claim([7; 16], 1, 1, false)).to_vec();
    bytes[FINGERPRINT] = 2;
    assert_eq!(StoredRecord::decode(bytes).unwrap_err().kind(), StorageErrorKind::NewerVersion);
    let unserializable = Finish::Failed(Failure::Unserializable);
    let mut bytes = finished(&claim([7; 16], 1, 1, false), 1, &unserializable);
    bytes[PROCESSING_LEN] = b'z';
    assert_eq!(StoredRecord::decode(bytes).unwrap_err().kind(), StorageErrorKind::NewerVersion);
    assert_eq!(StoredRecord::decode(Vec::new()).unwrap_err().kind(), StorageErrorKind::Corrupt);
    assert_eq!(StoredRecord::decode(b"{}".to_vec()).unwrap_err().kind(), StorageErrorKind::Corrupt);
}
