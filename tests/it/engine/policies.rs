//! What is recorded of results and errors.

use std::fmt;

use idem_runtime::policy::{ReleaseErrors, ReplayErrors};
use idem_runtime::record::Status;
use idem_runtime::{Error, ErrorKind, Outcome, Source};
use serde::{Deserialize, Serialize};

use crate::stage::{Process, Stage};

on_every_backend!(
    errors_are_stored_unless_said_otherwise,
    replayed_errors_are_the_same_errors,
    released_errors_run_again,
    errors_to_be_retried_release_and_others_do_not,
    results_not_to_be_stored_release,
    map_err_makes_errors_for_types_that_know_nothing_of_ours,
);

/// Knows nothing of the library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Declined {
    Busy,
    Funds(u32),
    Ours(String),
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "declined: {self:?}")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form of `map_err`")]
fn ours(error: Error) -> Declined {
    Declined::Ours(error.kind().as_str().to_owned())
}

fn body(
    stage: &Stage,
    result: Result<u32, Declined>,
) -> impl Future<Output = Result<u32, Declined>> {
    let ledger = stage.ledger.clone();
    async move {
        ledger.record("k", "");
        result
    }
}

async fn two(stage: &Stage) -> [Process; 2] {
    [stage.process().await, stage.process().await]
}

async fn errors_are_stored_unless_said_otherwise(stage: Stage) {
    let [one, two] = two(&stage).await;
    let declined = Err(Declined::Funds(5));
    let first = one.charge("k").map_err(ours).run(body(&stage, declined.clone())).await;
    assert_eq!(first, declined);
    for process in [one, two] {
        let error = process.charge("k").run(stage.body("k", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreviouslyFailed);
        assert_eq!(error.failure(), Some("declined: Funds(5)"));
    }
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Failed);
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn replayed_errors_are_the_same_errors(stage: Stage) {
    for (process, result) in two(&stage).await.iter().zip([Err(Declined::Funds(5)), Ok(1)]) {
        let call = process.charge("k").errors(ReplayErrors).map_err(ours);
        assert_eq!(call.run(body(&stage, result)).await, Err(Declined::Funds(5)));
    }
    // Whoever asks for the text alone gets an error, and still no second run.
    let other = stage.process().await.charge("k").map_err(ours);
    let expected = Declined::Ours("previously_failed".to_owned());
    assert_eq!(other.run(body(&stage, Ok(1))).await, Err(expected));
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn released_errors_run_again(stage: Stage) {
    let results = [Err(Declined::Funds(5)), Err(Declined::Busy), Ok(3)];
    for expected in results {
        let process = stage.process().await;
        let call = process.charge("k").errors(ReleaseErrors).map_err(ours);
        assert_eq!(call.run(body(&stage, expected.clone())).await, expected);
        let status = if expected.is_ok() { Status::Completed } else { Status::Released };
        assert_eq!(stage.status("k").await, Some(status));
        assert_eq!(process.heard.unrecorded(), 0);
    }
    assert_eq!(stage.ledger.executions("k"), 3);
}

async fn errors_to_be_retried_release_and_others_do_not(stage: Stage) {
    let process = stage.process().await;
    let busy = |error: &Declined| *error == Declined::Busy;
    let call = |result| {
        let call = process.charge("k").errors(ReplayErrors).retry_if(busy).map_err(ours);
        call.run(body(&stage, result))
    };
    assert_eq!(call(Err(Declined::Busy)).await, Err(Declined::Busy));
    assert_eq!(call(Err(Declined::Busy)).await, Err(Declined::Busy));
    assert_eq!(call(Err(Declined::Funds(5))).await, Err(Declined::Funds(5)));
    assert_eq!(call(Ok(1)).await, Err(Declined::Funds(5)));
    assert_eq!(stage.ledger.executions("k"), 3);
}

async fn results_not_to_be_stored_release(stage: Stage) {
    let process = stage.process().await;
    let call = async |value: u32| -> Outcome<u32> {
        let call = process.charge("k").store_if(|value: &u32| *value > 10).map_err(ours);
        call.run_with_outcome(body(&stage, Ok(value))).await.unwrap()
    };
    let executed = Source::Executed { recovered: false };
    assert_eq!(call(1).await, Outcome { value: 1, source: executed });
    assert_eq!(stage.status("k").await, Some(Status::Released));
    assert_eq!(call(11).await, Outcome { value: 11, source: executed });
    let replay = call(12).await;
    assert_eq!((replay.value, replay.is_replayed()), (11, true));
    assert_eq!(stage.ledger.executions("k"), 2);
    assert_eq!(process.heard.unrecorded(), 0);
}

async fn map_err_makes_errors_for_types_that_know_nothing_of_ours(stage: Stage) {
    let process = stage.process().await;
    let call = |key: &str| process.charge(key).map_err(ours).run(body(&stage, Ok(1)));
    assert_eq!(call("k").await, Ok(1));
    assert_eq!(call("").await, Err(Declined::Ours("key_generation".to_owned())));
}
