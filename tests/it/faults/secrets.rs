//! Payloads, arguments, error texts and keys never reach `Debug`, errors or logs.

use idem_runtime::codec::MsgPack;
use idem_runtime::policy::ReplayErrors;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Operation, current};
use serde::{Deserialize, Serialize};

use crate::seen::Seen;
use crate::stage::{LEASE, PATIENCE, Process, Stage, in_time};

/// In every key, argument, result and error of this module.
const SECRET: &str = "4242-secret-4242";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Declined(String);

impl From<Error> for Declined {
    fn from(error: Error) -> Self {
        Self(error.kind().as_str().to_owned())
    }
}

// On one thread, so that the log of everything it does is this test's.
#[tokio::test]
async fn nothing_that_a_user_hands_over_is_shown_on_memory() {
    nothing_that_a_user_hands_over_is_shown(Stage::on_memory()).await;
}

#[tokio::test]
async fn nothing_that_a_user_hands_over_is_shown_on_redis() {
    nothing_that_a_user_hands_over_is_shown(Stage::on_redis()).await;
}

async fn nothing_that_a_user_hands_over_is_shown(stage: Stage) {
    let seen = Seen::default();
    let _logging = seen.log();

    let process = stage.process().await;
    results(&stage, &process, &seen).await;
    failures(&process, &seen).await;
    unreadable(&stage, &process, &seen).await;
    trouble(&stage, &seen).await;
    let builder = Idempotency::builder(stage.storage().await);
    seen.text(&format!("{:?} {builder:?} {:?}", process.idem, process.charge(&key("debug"))));
    for name in ["result", "failure"] {
        seen.text(&format!("{:?}", stage.record(&key(name)).await.unwrap()));
    }

    let all = seen.all();
    assert!(all.contains("idempotent"), "the spans of the calls are logged");
    assert!(all.contains("the result of a call is not recorded"));
    for shown in ["Idempotency { st", "IdempotencyBuilder { st", "Operation { name", "Context { op"]
    {
        assert!(all.contains(shown), "{shown}");
    }
    let shown: Vec<_> = all.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

fn key(name: &str) -> String {
    format!("{SECRET}:{name}")
}

fn secret(operation: Operation) -> Operation {
    operation.fingerprint(&(SECRET, [SECRET])).tenant(SECRET)
}

async fn results(stage: &Stage, process: &Process, seen: &Seen) {
    let name = key("result");
    for _ in 0..2 {
        let value = process.charge(&name).run(stage.body(&name, SECRET)).await.unwrap();
        assert_eq!(value, SECRET);
        secret(process.charge(&name)).run(stage.body(&name, SECRET)).await.unwrap();
    }
    let other = process.charge(&name).fingerprint(SECRET);
    let error = other.run(stage.body(&name, SECRET)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    seen.error(&error);
    let body = async {
        seen.text(&format!("{:?}", current().unwrap()));
        let inner = process.charge(&key("reentrant")).run(stage.body(&name, SECRET)).await;
        seen.error(&inner.unwrap_err());
        Ok::<_, Error>(())
    };
    process.charge(&key("reentrant")).run(body).await.unwrap();
    let bad = process.charge(&format!("{SECRET}\n")).run(stage.body(&name, SECRET));
    seen.error(&bad.await.unwrap_err());
}

async fn failures(process: &Process, seen: &Seen) {
    let declined = || async { Err::<(), _>(Error::new(ErrorKind::Configuration, SECRET)) };
    process.charge(&key("failure")).run(declined()).await.unwrap_err();
    let error = process.charge(&key("failure")).run(declined()).await.unwrap_err();
    assert_eq!(error.failure(), Some(SECRET));
    // Its source is the application's own error, which the application shows or does not.
    seen.text(&format!("{error} {error:?} {error:#?}"));
    for _ in 0..2 {
        let typed = async { Err::<(), _>(Declined(SECRET.to_owned())) };
        let call = process.charge(&key("typed")).errors(ReplayErrors).run(typed);
        assert_eq!(call.await.unwrap_err().0, SECRET);
    }
}

/// Decoders like to quote what they could not decode.
async fn unreadable(stage: &Stage, process: &Process, seen: &Seen) {
    let msgpack = stage.process_with(|builder| builder.codec(MsgPack)).await;
    for (name, writer) in [("json", process), ("msgpack", &msgpack)] {
        let name = key(name);
        writer.charge(&name).run(stage.body(&name, SECRET)).await.unwrap();
        let number = writer.charge(&name).run(async { Ok::<_, Error>(1) });
        let error = number.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        seen.error(&error);
        let variant = async { Ok::<_, Error>(CrashedOrNot::Crashed) };
        seen.error(&writer.charge(&name).run(variant).await.unwrap_err());
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum CrashedOrNot {
    Crashed,
}

async fn trouble(stage: &Stage, seen: &Seen) {
    let process = stage.process().await;
    let name = key("trouble");
    for kind in [StorageErrorKind::Corrupt, StorageErrorKind::Configuration, StorageErrorKind::Full]
    {
        process.faults.next(Verb::Claim, Fault::Fail(kind));
        let error = process.charge(&name).run(stage.body(&name, SECRET)).await.unwrap_err();
        seen.error(&error);
    }
    process.faults.next(Verb::Complete, Fault::Fail(StorageErrorKind::Corrupt));
    let unrecorded = process.charge(&name).lease(PATIENCE).run(stage.body(&name, SECRET));
    unrecorded.await.unwrap();
    let rival = process.charge(&name).run(stage.body(&name, SECRET)).await.unwrap_err();
    seen.error(&rival);

    // A lease that is lost, and the warnings of the keeper.
    let name = key("stale");
    let running = process.begin(stage, &name, SECRET, |op| op).await;
    process.faults.always(Verb::Renew, Fault::Refuse);
    let other = stage.process().await;
    let second = other.begin(stage, &name, SECRET, |op| op.wait(PATIENCE)).await;
    seen.error(&running.finish().await.unwrap_err());
    assert!(!second.finish().await.unwrap().is_replayed());

    let name = key("parked");
    stage.dead_owner(&name, LEASE, CrashPolicy::Park).await;
    let parked = process.charge(&name).wait(PATIENCE).run(stage.body(&name, SECRET));
    seen.error(&in_time(parked).await.unwrap_err());

    let small = stage.process_with(|builder| builder.max_result_size(5)).await;
    for _ in 0..2 {
        let call = small.charge(&key("large")).run(stage.body(&name, SECRET));
        if let Err(error) = call.await {
            seen.error(&error);
        }
    }
}
