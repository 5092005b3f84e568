//! The numbered owners, calls and outcomes of histories.

use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::record::{CodecTag, Failure, Finish, OwnerId, Payload};

/// Ids that differ only in their last byte.
pub(super) fn owner_id(number: u8) -> OwnerId {
    let mut bytes = [7; 16];
    bytes[15] = number;
    OwnerId::from_bytes(bytes)
}

/// The number of an owner.
pub(super) fn owner_number(owner: OwnerId) -> u8 {
    owner.to_bytes()[15]
}

/// Fingerprints of calls.
pub(super) fn call(arguments: u8) -> Fingerprint {
    Fingerprinter::new(&format!("call {arguments}")).finish()
}

/// Outcomes that differ in every possible way.
pub(super) fn finishes() -> Vec<Finish> {
    let payload = |text: &'static str| {
        CodecTag::new("json").map(|codec| Payload { codec, bytes: text.into() })
    };
    let failed = |typed| Finish::Failed(Failure::Error { message: "no\0".to_owned(), typed });
    let mut finishes: Vec<_> =
        ["1", "", "2"].into_iter().filter_map(payload).map(Finish::Completed).collect();
    finishes.extend([
        failed(None),
        failed(payload("{}")),
        Finish::Failed(Failure::TooLarge { size: 1 << 40 }),
        Finish::Failed(Failure::Unserializable),
        Finish::Failed(Failure::Indeterminate),
    ]);
    finishes
}
