//! What a consumer does with a message whose call failed.

use super::*;

#[test]
fn every_kind_says_what_a_consumer_does_with_its_message() {
    let redeliver = Disposition::Redeliver { after: None };
    for (kind, disposition) in [
        (ErrorKind::AlreadyProcessing, redeliver),
        (ErrorKind::PreviouslyFailed, Disposition::DeadLetter),
        (ErrorKind::Indeterminate, Disposition::DeadLetter),
        (ErrorKind::Mismatch, Disposition::DeadLetter),
        (ErrorKind::LeaseLost, redeliver),
        (ErrorKind::Storage, redeliver),
        (ErrorKind::Serialization, Disposition::Acknowledge),
        (ErrorKind::KeyGeneration, Disposition::DeadLetter),
        (ErrorKind::NotConfigured, redeliver),
        (ErrorKind::AlreadyConfigured, redeliver),
        (ErrorKind::Reentrant, Disposition::DeadLetter),
        (ErrorKind::Corrupt, Disposition::DeadLetter),
        (ErrorKind::TooLarge, Disposition::Acknowledge),
        (ErrorKind::Configuration, redeliver),
    ] {
        assert_eq!(Error::new(kind, "text").disposition(), disposition, "{kind:?}");
    }
}

#[test]
fn a_busy_key_says_when_to_deliver_again() {
    let after = Duration::from_secs(7);
    let busy = Error::new(ErrorKind::AlreadyProcessing, "busy").with_retry_after(after);
    assert_eq!(busy.disposition(), Disposition::Redeliver { after: Some(after) });
}

#[test]
fn an_ambiguous_commit_is_delivered_again_and_a_parked_call_is_not() {
    let lost = StorageError::new(StorageErrorKind::Indeterminate, "the reply is lost");
    let commit = Error::new(ErrorKind::Indeterminate, "the commit").with_source(lost);
    assert_eq!(commit.disposition(), Disposition::Redeliver { after: None });
}
