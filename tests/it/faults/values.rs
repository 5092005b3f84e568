//! Arguments, results and errors that cannot be encoded, or are too large.

use std::collections::HashMap;
use std::fmt;

use idem_runtime::policy::ReplayErrors;
use idem_runtime::{Error, ErrorKind, Source};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stage::{Stage, kind};

on_every_backend!(
    arguments_that_cannot_be_serialized_are_refused_before_the_storage_and_the_body,
    result_that_cannot_be_serialized_is_given_once_and_refused_to_duplicates,
    result_that_json_cannot_express_is_given_once_and_refused_to_duplicates,
    result_that_is_nested_too_deeply_is_given_once_and_refused_to_duplicates,
    result_that_cannot_be_read_back_is_given_once_and_refused_to_duplicates,
    typed_error_that_cannot_be_read_back_is_stored_as_text,
    result_over_the_limit_is_given_once_and_refused_to_duplicates,
    result_at_the_limit_is_stored,
    large_result_is_stored_where_the_limit_allows,
    long_text_of_a_failure_is_cut,
    typed_error_over_the_limit_is_stored_as_text,
);

/// Refuses to be serialized.
#[derive(Debug, PartialEq)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

async fn arguments_that_cannot_be_serialized_are_refused_before_the_storage_and_the_body(
    stage: Stage,
) {
    let process = stage.process().await;
    let operation = || process.idem.operation("charge");
    for call in [
        operation().fingerprint(&Stubborn),
        operation().fingerprint(&f64::NAN),
        operation().generate_key(&Stubborn),
        operation().key("k").fingerprint(&Stubborn),
        operation().fingerprint(&Stubborn).key("k"),
    ] {
        assert_eq!(kind(call.run(stage.body("k", "")).await), ErrorKind::KeyGeneration);
    }
    assert_eq!(stage.ledger.executions("k"), 0);
    assert_eq!(stage.record("k").await, None);
}

async fn assert_given_once<T>(stage: &Stage, value: fn() -> T, expected: ErrorKind)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug,
{
    let process = stage.process_with(|builder| builder.max_result_size(100)).await;
    let body = || async {
        stage.ledger.record("k", "");
        Ok::<_, Error>(value())
    };
    let first = process.charge("k").run_with_outcome(body()).await.unwrap();
    assert_eq!((&first.value, first.source), (&value(), Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    for duplicate in [&process, &stage.process().await] {
        assert_eq!(kind(duplicate.charge("k").run_with_outcome(body()).await), expected);
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn result_that_cannot_be_serialized_is_given_once_and_refused_to_duplicates(stage: Stage) {
    assert_given_once(&stage, || Stubborn, ErrorKind::Serialization).await;
}

async fn result_that_json_cannot_express_is_given_once_and_refused_to_duplicates(stage: Stage) {
    let map = || HashMap::from([((1, 2), 3)]);
    assert_given_once(&stage, map, ErrorKind::Serialization).await;
}

async fn result_that_is_nested_too_deeply_is_given_once_and_refused_to_duplicates(stage: Stage) {
    let deep = || (0..128).fold(serde_json::json!(1), |inside, _| serde_json::json!([inside]));
    assert_given_once(&stage, deep, ErrorKind::Serialization).await;
}

/// Its `Deserialize` asks for a field that its `Serialize` leaves out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Disagreeing {
    #[serde(skip_serializing)]
    id: u8,
    name: String,
}

async fn result_that_cannot_be_read_back_is_given_once_and_refused_to_duplicates(stage: Stage) {
    let value = || Disagreeing { id: 1, name: "a".to_owned() };
    assert_given_once(&stage, value, ErrorKind::Serialization).await;
}

impl From<Error> for Disagreeing {
    fn from(error: Error) -> Self {
        Self { id: 0, name: error.kind().as_str().to_owned() }
    }
}

async fn typed_error_that_cannot_be_read_back_is_stored_as_text(stage: Stage) {
    let process = stage.process().await;
    let call = || process.charge("k").errors(ReplayErrors);
    let failing = || async { Err::<(), _>(Disagreeing { id: 1, name: "a".to_owned() }) };
    assert_eq!(call().run(failing()).await.unwrap_err().id, 1);
    assert_eq!(call().run(failing()).await.unwrap_err().name, "previously_failed");
}

async fn result_over_the_limit_is_given_once_and_refused_to_duplicates(stage: Stage) {
    assert_given_once(&stage, || "x".repeat(99), ErrorKind::TooLarge).await;
}

async fn result_at_the_limit_is_stored(stage: Stage) {
    let process = stage.process_with(|builder| builder.max_result_size(100)).await;
    // Two more for the quotes.
    let body = || async { Ok::<_, Error>("x".repeat(98)) };
    assert!(!process.charge("k").run_with_outcome(body()).await.unwrap().is_replayed());
    assert!(process.charge("k").run_with_outcome(body()).await.unwrap().is_replayed());
}

async fn large_result_is_stored_where_the_limit_allows(stage: Stage) {
    const SIZE: usize = 8 << 20;
    let process = stage.process_with(|builder| builder.max_result_size(2 * SIZE)).await;
    let body = || async { Ok::<_, Error>("x".repeat(SIZE)) };
    process.charge("k").run(body()).await.unwrap();
    let replay = stage.process().await.charge("k").run_with_outcome(body()).await.unwrap();
    assert!(replay.is_replayed());
    assert!(replay.value.len() == SIZE && replay.value.bytes().all(|byte| byte == b'x'));
}

async fn long_text_of_a_failure_is_cut(stage: Stage) {
    let process = stage.process().await;
    let text = "ä".repeat(5_000);
    let declined = Error::new(ErrorKind::Configuration, text.clone());
    process.charge("k").run(async { Err::<(), _>(declined) }).await.unwrap_err();
    let error = process.charge("k").run(stage.body("k", "")).await.unwrap_err();
    let failure = error.failure().unwrap();
    assert!(text.starts_with(failure));
    assert!((4_000..=4_096).contains(&failure.len()), "{}", failure.len());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Typed(String);

impl From<Error> for Typed {
    fn from(error: Error) -> Self {
        Self(error.kind().as_str().to_owned())
    }
}

async fn typed_error_over_the_limit_is_stored_as_text(stage: Stage) {
    let process = stage.process_with(|builder| builder.max_result_size(100)).await;
    let call = || process.charge("k").errors(ReplayErrors);
    let long = || async { Err::<(), _>(Typed("x".repeat(200))) };
    assert_eq!(call().run(long()).await, Err(Typed("x".repeat(200))));
    let again = call().run(long()).await;
    assert_eq!(again, Err(Typed("previously_failed".to_owned())));
}
