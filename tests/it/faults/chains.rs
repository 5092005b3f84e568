//! What an error says of itself: each text once in its chain, its call's key for the program, and the hash of that for logs.

use std::error::Error as StdError;

use idem_runtime::codec::MsgPack;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{StorageError, StorageErrorKind};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Key, with};
use idempotency::idempotent;
use serde::{Serialize, Serializer};

use crate::stage::{LEASE, PATIENCE, Process, Stage, in_time};

on_every_backend!(
    no_text_is_said_twice_and_the_key_is_known,
    a_mismatch_names_the_other_operation,
    what_the_server_said_is_the_source_of_what_it_means,
);

/// The texts of an error and of its sources.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

/// As `{:#}` of anyhow's shows it, each text is there once.
#[track_caller]
pub(crate) fn assert_nothing_said_twice(error: &(dyn StdError + 'static)) {
    let chain = chain(error);
    for (at, text) in chain.iter().enumerate() {
        assert!(!text.is_empty(), "{chain:#?}");
        let again =
            chain.iter().enumerate().find(|(other, said)| at != *other && said.contains(text));
        assert!(again.is_none(), "{again:?} of {chain:#?}");
    }
}

/// An error of a call with this key.
#[track_caller]
fn assert_tells(error: &Error, kind: ErrorKind, key: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_nothing_said_twice(error);
    assert_eq!(error.key(), Some(key), "{error:?}");
    assert_eq!(error.operation(), Some("charge"), "{error:?}");
    let hash = error.key_hash().unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    for shown in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        assert!(shown.contains(&hash) && !shown.contains(key), "{shown}");
    }
}

/// Something that cannot be encoded.
#[derive(Debug)]
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no form"))
    }
}

async fn no_text_is_said_twice_and_the_key_is_known(stage: Stage) {
    let process = stage.process().await;
    let refused = async |key: &str, kind| {
        let error = process.charge(key).run(stage.body(key, "again")).await.unwrap_err();
        assert_tells(&error, kind, key);
        error
    };

    let running = process.begin(&stage, "a-running", "first", |op| op).await;
    let error = refused("a-running", ErrorKind::AlreadyProcessing).await;
    assert!(error.retry_after().is_some());
    assert!(!running.finish().await.unwrap().is_replayed());

    let declined = async { Err::<(), _>(Error::new(ErrorKind::Configuration, "card declined")) };
    process.charge("a-failed").run(declined).await.unwrap_err();
    let error = refused("a-failed", ErrorKind::PreviouslyFailed).await;
    assert_eq!(error.source().unwrap().to_string(), "card declined");
    assert_eq!(error.failure(), Some("card declined"));

    stage.dead_owner("a-parked", LEASE, CrashPolicy::Park).await;
    let parked = process.charge("a-parked").wait(PATIENCE).run(stage.body("a-parked", "again"));
    assert_tells(&in_time(parked).await.unwrap_err(), ErrorKind::Indeterminate, "a-parked");

    let other = process.charge("a-running").fingerprint(&1).run(stage.body("k", "other"));
    assert_tells(&other.await.unwrap_err(), ErrorKind::Mismatch, "a-running");

    for (fault, kind) in [
        (StorageErrorKind::Full, ErrorKind::Storage),
        (StorageErrorKind::Corrupt, ErrorKind::Corrupt),
        (StorageErrorKind::NewerVersion, ErrorKind::Corrupt),
        (StorageErrorKind::Configuration, ErrorKind::Configuration),
    ] {
        process.faults.next(Verb::Claim, Fault::Fail(fault));
        let error = refused("a-trouble", kind).await;
        assert_eq!(error.storage_error().unwrap().kind(), fault);
    }
    process.faults.always(Verb::Claim, Fault::Refuse);
    let error = refused("a-trouble", ErrorKind::Storage).await;
    assert!(error.is_retryable(), "{error:?}");
    process.faults.clear();

    let text = async { Ok::<_, Error>("text".to_owned()) };
    process.charge("a-text").run(text).await.unwrap();
    let number = process.charge("a-text").run(async { Ok::<_, Error>(1_u8) });
    assert_tells(&number.await.unwrap_err(), ErrorKind::Serialization, "a-text");

    let small = stage.process_with(|builder| builder.max_result_size(5)).await;
    small.charge("a-large").run(stage.body("a-large", "longer than five")).await.unwrap();
    refused("a-large", ErrorKind::TooLarge).await;

    let body = async {
        let inner = process.charge("a-loop").run(stage.body("a-loop", "again")).await;
        assert_tells(&inner.unwrap_err(), ErrorKind::Reentrant, "a-loop");
        Ok::<_, Error>(())
    };
    process.charge("a-loop").run(body).await.unwrap();

    let zero = process.charge("a-zero").ttl(std::time::Duration::ZERO);
    let error = zero.run(stage.body("a-zero", "again")).await.unwrap_err();
    assert_tells(&error, ErrorKind::Configuration, "a-zero");

    lease_lost(&stage, &process).await;
    without_a_record(&process).await;
}

/// Another owner has taken over and is still at it.
async fn lease_lost(stage: &Stage, process: &Process) {
    let running = process.begin(stage, "a-stale", "first", |op| op).await;
    process.faults.always(Verb::Renew, Fault::Refuse);
    let other = stage.process().await;
    let second = other.begin(stage, "a-stale", "second", |op| op.wait(PATIENCE)).await;
    let error = running.finish().await.unwrap_err();
    assert_tells(&error, ErrorKind::LeaseLost, "a-stale");
    assert!(!second.finish().await.unwrap().is_replayed());
    process.faults.clear();
}

/// Errors from before it is known which record it is.
async fn without_a_record(process: &Process) {
    let tenant = process.charge("a-key").tenant("").run(async { Ok::<_, Error>(1) });
    let error = tenant.await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::KeyGeneration, Some("a-key")));
    assert_nothing_said_twice(&error);

    let unserializable = process.charge("a-key").fingerprint(&Unserializable);
    let unserializable = unserializable.run(async { Ok::<_, Error>(1) }).await.unwrap_err();
    let invalid = Key::from_utf8(b"\xff").unwrap_err();
    for error in [unserializable, invalid] {
        assert_eq!((error.kind(), error.key()), (ErrorKind::KeyGeneration, None));
        assert_eq!(chain(&error).len(), 2, "{error:?}");
        assert_nothing_said_twice(&error);
    }
}

async fn a_mismatch_names_the_other_operation(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let held = process.begin(&stage, "held", "first", |op| op).await;
    // In another process the record alone tells.
    for process in [process.clone(), stage.process().await] {
        for key in ["k", "held"] {
            let refund = process.idem.operation("refund").key(key).fingerprint(&7);
            let error = refund.run(stage.body(key, "refunded")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            assert!(error.to_string().contains("by the operation `charge`"), "{error}");
            let other = process.charge(key).fingerprint(&7);
            let error = other.run(stage.body(key, "other")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            assert!(error.to_string().contains("with other arguments"), "{error}");
            assert!(!error.to_string().contains("by the operation"), "{error}");
        }
    }
    assert!(!held.finish().await.unwrap().is_replayed());
    // Nobody knows the name of an operation that was never called here, and no guess is made.
    stage.dead_owner("unknown", LEASE, CrashPolicy::Retry).await;
    let refund = process.idem.operation("refund").key("unknown").run(stage.body("k", "refunded"));
    let error = refund.await.unwrap_err();
    let text = "for another operation or with other arguments";
    assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains(text), "{error}");
    // A storage that does not say whose it is takes nothing from the answer.
    process.faults.always(Verb::Load, Fault::Refuse);
    let refund = process.idem.operation("refund").key("k").run(stage.body("k", "refunded"));
    let error = refund.await.unwrap_err();
    assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains(text), "{error}");
}

/// What a driver says is reached by the chain, where there is a server to say it.
async fn what_the_server_said_is_the_source_of_what_it_means(stage: Stage) {
    let Some(proxy) = stage.proxy() else { return };
    let idem = Idempotency::new(stage.storage_through(&proxy).await).unwrap();
    idem.operation("charge").key("before").run(stage.body("k", "first")).await.unwrap();
    proxy.cut();
    proxy.refuse();
    let error = idem.operation("charge").key("a-key").run(stage.body("k", "second"));
    let error = in_time(error).await.unwrap_err();
    assert_tells(&error, ErrorKind::Storage, "a-key");
    assert!(chain(&error).len() > 1, "{error:?}");
}

#[idempotent(key = "order:{id}", name = "charge")]
async fn annotated(id: &str, amount: f64) -> Result<f64, Error> {
    Ok(amount)
}

#[idempotent(name = "charge")]
async fn by_hash(amount: f64) -> Result<f64, Error> {
    Ok(amount)
}

#[tokio::test]
async fn an_annotated_function_tells_as_much() {
    let idem = Idempotency::memory();
    with(idem, async {
        annotated("a-key", 1.0).await.unwrap();
        let error = annotated("a-key", 2.0).await.unwrap_err();
        assert_tells(&error, ErrorKind::Mismatch, "order:(a-key)");
        // The key and the hash are made of one argument that has no form: the error is one as well.
        let error = by_hash(f64::NAN).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::KeyGeneration, Some("charge")));
        assert_nothing_said_twice(&error);
    })
    .await;
}

/// A spawned task does not inherit what `with` has made the handle: the error says so, and what to do.
#[tokio::test]
async fn a_spawned_worker_without_a_handle_is_told_of_with() {
    let idem = Idempotency::memory();
    let (alone, wrapped) = Box::pin(with(idem, async {
        let inherited = with(idem_runtime::handle().unwrap(), annotated("a-key", 1.0));
        (tokio::spawn(annotated("a-key", 1.0)).await, tokio::spawn(inherited).await)
    }))
    .await;
    let error = alone.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConfigured);
    assert_eq!((error.operation(), error.key()), (Some("charge"), Some("order:(a-key)")));
    for word in ["spawned", "`idempotency::with`", "set_global", "`with = …`"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    wrapped.unwrap().unwrap();
}

/// One that is shared is told of its operation too, and changes for nobody else.
#[tokio::test]
async fn an_error_that_others_have_as_well_is_told_of_its_call() {
    let nothing = idem_runtime::handle().unwrap_err();
    let handle: Result<Idempotency, Error> = Err(nothing.clone());
    let error = on_handle(&handle, "a-key").await.unwrap_err();
    assert_eq!((error.operation(), error.key()), (Some("charge"), Some("order:(a-key)")));
    assert_eq!((nothing.operation(), nothing.key()), (None, None));
}

#[idempotent(key = "order:{id}", with = handle, skip(handle), name = "charge")]
async fn on_handle(handle: &Result<Idempotency, Error>, id: &str) -> Result<u8, Error> {
    Ok(1)
}

/// Clients of databases show the text of their source as well, and storages of others may.
#[test]
fn a_storages_error_is_shown_once_whatever_it_is_made_of() {
    #[derive(Debug, thiserror::Error)]
    #[error("error returned from database: {0}")]
    struct Client(#[source] std::io::Error);

    for kind in [
        StorageErrorKind::NotApplied,
        StorageErrorKind::Indeterminate,
        StorageErrorKind::Full,
        StorageErrorKind::Corrupt,
        StorageErrorKind::NewerVersion,
        StorageErrorKind::Configuration,
    ] {
        let client = Client(std::io::Error::other("no such host"));
        let storage = StorageError::new(kind, "cannot connect").with_source(client);
        let outer = StorageError::new(kind, "nothing was claimed").with_source(storage.clone());
        assert_eq!(chain(&Error::from(storage)), ["cannot connect", "no such host"]);
        let outer = chain(&Error::from(outer));
        assert_eq!(outer, ["nothing was claimed", "cannot connect", "no such host"]);
    }
}

/// The first failure's text may say anything.
#[tokio::test]
async fn the_first_failure_is_the_source_whatever_its_text() {
    let idem = Idempotency::builder(idem_runtime::storage::MemoryStorage::new());
    let idem = idem.codec(MsgPack).build().unwrap();
    for (key, text) in
        ["failed", "the first call with this key failed", "ä\n\"b\""].into_iter().enumerate()
    {
        let fails = async || Err::<(), _>(Error::new(ErrorKind::Configuration, text.to_owned()));
        idem.operation("charge").key(key.to_string()).run(fails()).await.unwrap_err();
        let again = idem.operation("charge").key(key.to_string()).run(fails());
        let error = again.await.unwrap_err();
        assert_eq!(error.failure(), Some(text));
        assert_eq!(error.source().unwrap().to_string(), text);
    }
}
