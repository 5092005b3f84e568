//! Runs a history on a storage.

use std::fmt::Write;
use std::time::Duration;

use super::bench::Bench;
use super::model::{Model, Step, Verb};
use super::render::{Precision, render_error, render_written};
use crate::key::RecordKey;
use crate::record::OwnerId;
use crate::storage::Storage;

/// The excess of a server's shortest retention over zero; a step with a zero ttl waits this long.
const GRAIN: Duration = Duration::from_millis(5);

/// Five seconds with a margin for the last answers.
const IN_TIME: Duration = Duration::from_secs(4);
/// Attempts for a history that diverges and was too slow.
const ATTEMPTS: u32 = 6;

/// Runs a history. On an inexact clock, a divergence after a slow run proves nothing, and the
/// history runs again. If every run is too slow, the report says so.
pub(super) async fn run_in_time<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        let begun = bench.now().await;
        let Err(mut story) = run(bench, steps).await else { return Ok(()) };
        let took = bench.now().await.left_at(begun);
        if bench.is_exact() || took < IN_TIME {
            return Err(story);
        }
        if attempt == ATTEMPTS {
            let _ = write!(
                story,
                "\n    (each of {ATTEMPTS} times it took longer than {IN_TIME:?}, the last time {took:?}: the storage may be right, and \
                 too slow to be compared)"
            );
            return Err(story);
        }
        attempt += 1;
    }
}

/// Runs a history with a key of its own; the error is the report of its divergence.
async fn run<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let key = RecordKey::from_stored(format!("histories:{}", OwnerId::random()));
    let precision = Precision { exact: bench.is_exact() };
    let start = if precision.exact { bench.now().await } else { Model::START };
    let mut model = Model::new(start);
    let mut story = String::new();
    for step in steps {
        let verb = step.verb(&key);
        let expected = model.answer(&verb, precision);
        let answer = ask(bench, verb, precision).await;
        let there = match bench.storage().load(&key).await {
            Ok(record) => precision.record(record.as_ref(), bench.now().await),
            Err(error) => render_error(&error),
        };
        let must_be = model.record(precision);
        let _ = writeln!(story, "  {step:?}: {answer}\n    the record then: {there}");
        if answer != expected || there != must_be {
            let _ = write!(
                story,
                "    the table answers: {expected}\n    the record by the table: {must_be}\n    key: {key:?}"
            );
            return Err(story);
        }
    }
    Ok(())
}

/// Runs one verb on the storage.
async fn ask<B: Bench>(bench: &B, verb: Verb, precision: Precision) -> String {
    let storage = bench.storage();
    match verb {
        Verb::Claim(claim) => precision.claimed(storage.claim(&claim).await),
        Verb::Renew(renew) => match storage.renew(&[renew]).await.pop() {
            Some(answer) => render_written(answer),
            None => "nothing".to_owned(),
        },
        Verb::Complete(complete) => {
            let written = storage.complete(&complete).await;
            if !precision.exact && complete.ttl.is_zero() {
                tokio::time::sleep(GRAIN).await;
            }
            render_written(written)
        }
        Verb::Release(release) => {
            let written = storage.release(&release).await;
            if !precision.exact {
                // The claim's ttl may have been zero.
                tokio::time::sleep(GRAIN).await;
            }
            render_written(written)
        }
        Verb::Purge => match storage.purge(1_000).await {
            Ok(_) => String::new(),
            Err(error) => render_error(&error),
        },
        Verb::Pass(key, time) => {
            bench.pass(&key, time).await;
            String::new()
        }
    }
}
