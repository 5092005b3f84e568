//! Keys, tenants and namespaces that are none.

use idem_runtime::testing::Verb;
use idem_runtime::{Error, ErrorKind, Fingerprint, Idempotency, Key, Operation};

use crate::stage::{Process, Stage, kind};

on_every_backend!(
    bad_keys_are_refused_before_the_storage_and_the_body,
    bad_scopes_are_refused_before_the_storage_and_the_body,
    the_longest_key_and_scopes_work,
    a_call_without_key_and_arguments_is_refused,
    a_call_without_key_is_known_by_its_arguments,
    keys_that_a_generator_makes_are_those_of_equal_arguments,
    a_generator_that_fails_refuses_the_call,
);

async fn assert_refused(stage: &Stage, process: &Process, operation: Operation) -> Error {
    let error = operation.run(stage.body("k", "")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyGeneration);
    assert!(!error.is_retryable() && !error.is_conflict());
    assert_eq!(stage.ledger.executions("k"), 0);
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(process.idem.in_flight(), 0);
    error
}

async fn bad_keys_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    let long = "secret".repeat(1000);
    for bad in ["", "line\nfeed", "nul\0", "\u{7f}", "\u{85}", long.as_str()] {
        let error = assert_refused(&stage, &process, process.charge(bad)).await;
        assert_eq!(error.operation(), Some("charge"));
        assert!(!format!("{error} {error:?}").contains("secretsecret"));
        assert_eq!(kind(Key::new(bad)), ErrorKind::KeyGeneration);
        assert_eq!(
            kind(process.idem.execute(bad, crate::stage::TTL, stage.body("k", "")).await),
            ErrorKind::KeyGeneration
        );
    }
    for bytes in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"] {
        let key = Key::from_utf8(bytes);
        assert_eq!(kind(key.clone()), ErrorKind::KeyGeneration);
        assert_refused(&stage, &process, process.idem.operation("charge").key(key)).await;
    }
}

async fn bad_scopes_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    for tenant in ["", &"t".repeat(129), &":".repeat(43)] {
        assert_refused(&stage, &process, process.charge("k").tenant(tenant)).await;
    }
    for namespace in ["", &"n".repeat(129), &":".repeat(43)] {
        let built = Idempotency::builder(stage.storage().await).namespace(namespace).build();
        assert_eq!(kind(built), ErrorKind::Configuration, "{namespace}");
    }
}

async fn the_longest_key_and_scopes_work(stage: Stage) {
    let namespace = format!("{:x<128}", stage.namespace);
    let process = stage.process_with(|builder| builder.namespace(namespace)).await;
    let key = "\u{1f511}".repeat(Key::MAX_LEN / 4);
    for _ in 0..2 {
        let call = process.charge(&key).tenant("t".repeat(128)).run(stage.body("k", "first"));
        assert_eq!(call.await.unwrap(), "first");
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_call_without_key_and_arguments_is_refused(stage: Stage) {
    let process = stage.process().await;
    assert_refused(&stage, &process, process.idem.operation("charge")).await;
}

async fn a_call_without_key_is_known_by_its_arguments(stage: Stage) {
    let process = stage.process().await;
    for (args, expected) in [(1, "one"), (1, "one"), (2, "two")] {
        let call = process.idem.operation("charge").fingerprint(&args);
        assert_eq!(call.run(stage.body("k", expected)).await.unwrap(), expected);
    }
    assert_eq!(stage.ledger.executions("k"), 2);
}

async fn keys_that_a_generator_makes_are_those_of_equal_arguments(stage: Stage) {
    let prefixed = |operation: &str, args: Fingerprint| {
        Key::from_fingerprint(&format!("made:{operation}"), args)
    };
    let process = stage.process_with(|builder| builder.key_generator(prefixed)).await;
    for (args, expected) in [(1, "one"), (1, "one"), (2, "two")] {
        let call = process.idem.operation("charge").key("replaced").generate_key(&args);
        assert_eq!(call.run(stage.body("k", expected)).await.unwrap(), expected);
    }
    assert_eq!(stage.ledger.executions("k"), 2);
    let made = prefixed("charge", Fingerprint::of("charge", &1).unwrap()).unwrap();
    let other = process.idem.operation("charge").key(made).fingerprint(&2);
    let other = other.run(stage.body("k", "other"));
    assert_eq!(kind(other.await), ErrorKind::Mismatch);
}

async fn a_generator_that_fails_refuses_the_call(stage: Stage) {
    let none = |_: &str, _: Fingerprint| Key::new("");
    let process = stage.process_with(|builder| builder.key_generator(none)).await;
    assert_refused(&stage, &process, process.idem.operation("charge").generate_key(&1)).await;
    assert_refused(&stage, &process, process.idem.operation("charge").fingerprint(&1)).await;
    assert_eq!(process.charge("k").run(stage.body("k", "first")).await.unwrap(), "first");
}

#[test]
fn random_keys_differ() {
    assert_ne!(Key::random(), Key::random());
}
