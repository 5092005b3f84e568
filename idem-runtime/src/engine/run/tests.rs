//! Who gets what of a result that cannot be kept as it is, or not at all.

#![expect(clippy::unwrap_used, reason = "in the functions that tests share, as in tests")]

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Ready, pending, ready};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::engine::{Idempotency, Operation, Source, current};
use crate::error::{Error, ErrorKind};
use crate::policy::ReplayErrors;
use crate::storage::{MemoryStorage, StorageErrorKind};
use crate::testing::{Fault, Faults, FaultyStorage, Verb};

const LIMIT: usize = 20;

/// A handle for small results, what goes wrong with it, and another process.
fn faulty() -> (Idempotency, Faults, Idempotency) {
    let records = MemoryStorage::new();
    let storage = FaultyStorage::new(records.clone());
    let faults = storage.faults().clone();
    let idem = Idempotency::builder(storage).max_result_size(LIMIT).build().unwrap();
    (idem, faults, Idempotency::new(records).unwrap())
}

fn charge(idem: &Idempotency) -> Operation {
    idem.operation("charge").key("k")
}

fn value<T>(value: T) -> Ready<Result<T, Error>> {
    ready(Ok(value))
}

/// An error with a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Declined(String);

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the library says instead of the body's error, with the text that it kept.
#[expect(clippy::needless_pass_by_value, reason = "the form of `map_err`")]
fn ours(error: Error) -> Declined {
    Declined(format!("{}: {}", error.kind().as_str(), error.failure().unwrap_or_default()))
}

#[tokio::test(start_paused = true)]
async fn only_a_storage_that_is_down_opens_what_fails_open() {
    let (idem, faults, _) = faulty();
    faults.always(Verb::Claim, Fault::Refuse);
    let closed = charge(&idem).run(value(1)).await;
    assert_eq!(closed.map_err(|error| error.kind()), Err(ErrorKind::Storage));
    let body = async { Ok::<_, Error>(current().is_some()) };
    let open = charge(&idem).fail_open().run_with_outcome(body).await.unwrap();
    assert_eq!((open.value, open.source), (false, Source::Unrecorded), "nothing to hand on");
    faults.always(Verb::Claim, Fault::Fail(StorageErrorKind::Corrupt));
    let corrupt = charge(&idem).fail_open().run(value(1)).await;
    assert_eq!(corrupt.map_err(|error| error.kind()), Err(ErrorKind::Corrupt));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_not_to_be_kept_is_nowhere_missed() {
    let (idem, faults, _) = faulty();
    let unkept = || charge(&idem).store_if(|_: &u32| false);
    assert_eq!(unkept().run(value(1)).await.unwrap(), 1);
    faults.always(Verb::Release, Fault::Refuse);
    let again = unkept().run_with_outcome(value(2)).await.unwrap();
    assert_eq!((again.value, again.source), (2, Source::Executed { recovered: false }));
}

#[tokio::test]
async fn a_result_that_is_too_large_is_its_callers_alone() {
    let (idem, ..) = faulty();
    let fits = "x".repeat(LIMIT - 2);
    let small = idem.operation("op").key("small").run_with_outcome(value(fits)).await.unwrap();
    assert_eq!(small.source, Source::Executed { recovered: false });
    let text = "x".repeat(LIMIT);
    let large = charge(&idem).run_with_outcome(value(text.clone())).await.unwrap();
    assert_eq!((large.value, large.source), (text.clone(), Source::Unrecorded));
    let duplicate = charge(&idem).run(value(text)).await;
    assert_eq!(duplicate.map_err(|error| error.kind()), Err(ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_result_that_cannot_be_encoded_is_its_callers_alone() {
    let (idem, ..) = faulty();
    // OperationNames in JSON are texts.
    let unnameable = BTreeMap::from([((1, 2), 3)]);
    let first = charge(&idem).run_with_outcome(value(unnameable.clone())).await.unwrap();
    assert_eq!((first.value, first.source), (unnameable.clone(), Source::Unrecorded));
    let duplicate = charge(&idem).run(value(unnameable)).await;
    assert_eq!(duplicate.map_err(|error| error.kind()), Err(ErrorKind::Serialization));
}

#[tokio::test]
async fn the_text_of_a_failure_is_cut_where_a_character_begins() {
    let (idem, ..) = faulty();
    let texts = ["no".to_owned(), "x".repeat(5_000), format!("x{}", "é".repeat(3_000))];
    for (text, kept) in texts.into_iter().zip([2, 4_096, 4_095]) {
        let key = format!("{kept} bytes");
        let fail = || {
            let failed = ready(Err::<u32, _>(Declined(text.clone())));
            idem.operation("op").key(key.clone()).map_err(ours).run(failed)
        };
        assert_eq!(fail().await, Err(Declined(text.clone())));
        assert_eq!(fail().await, Err(Declined(format!("previously_failed: {}", &text[..kept]))));
    }
}

#[tokio::test]
async fn an_error_that_is_too_large_is_replayed_as_the_name_of_its_type() {
    let (idem, ..) = faulty();
    for (text, replayed) in [("x".repeat(LIMIT - 2), true), ("x".repeat(LIMIT), false)] {
        let key = format!("replayed: {replayed}");
        let fail = || {
            let failed = ready(Err::<u32, _>(Declined(text.clone())));
            let operation = idem.operation("op").key(key.clone()).errors(ReplayErrors);
            operation.map_err(ours).run(failed)
        };
        assert_eq!(fail().await, Err(Declined(text.clone())));
        let name = format!("previously_failed: {}", std::any::type_name::<Declined>());
        let told = if replayed { text.clone() } else { name };
        assert_eq!(fail().await, Err(Declined(told)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_may_not_wait_is_told_at_once_and_by_the_call_that_is_there() {
    const PATIENCE: Duration = Duration::from_secs(5);
    let (idem, faults, other) = faulty();
    let here = charge(&idem).run(pending::<Result<u32, Error>>());
    let duplicate = async {
        let duplicate = timeout(PATIENCE, charge(&idem).run(value(2))).await.unwrap();
        duplicate.map_err(|error| error.kind())
    };
    tokio::select! {
        biased;
        _ = here => unreachable!("it goes on for ever"),
        told = duplicate => assert_eq!(told, Err(ErrorKind::AlreadyProcessing)),
    }

    let elsewhere = other.operation("charge").key("k2").run(pending::<Result<u32, Error>>());
    let before = faults.calls(Verb::Claim);
    faults.always(Verb::Claim, Fault::Delay(Duration::from_millis(50)));
    let duplicate = || idem.operation("charge").key("k2").run(value(2));
    let two = async { tokio::join!(duplicate(), duplicate()) };
    tokio::select! {
        biased;
        _ = elsewhere => unreachable!("it goes on for ever"),
        (one, two) = two => {
            let told = [one, two].map(|told| told.map_err(|error| error.kind()));
            assert_eq!(told, [Err(ErrorKind::AlreadyProcessing); 2]);
        }
    }
    assert_eq!(faults.calls(Verb::Claim) - before, 1, "one asks for both");
}

#[tokio::test]
async fn a_call_of_the_same_key_is_a_duplicate_only_where_it_is_about_the_same() {
    let (idem, ..) = faulty();
    let body = async {
        let itself = charge(&idem).run(value(2)).await;
        assert_eq!(itself.map_err(|error| error.kind()), Err(ErrorKind::Reentrant));
        let refund = idem.operation("refund").key("k").run(value(2)).await;
        assert_eq!(refund.map_err(|error| error.kind()), Err(ErrorKind::Mismatch));
        idem.operation("charge").key("k2").run(value(2)).await
    };
    assert_eq!(charge(&idem).run(body).await.unwrap(), 2);
}
