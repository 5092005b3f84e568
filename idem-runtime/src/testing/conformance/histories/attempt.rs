//! A history, gone through on a storage.

use std::fmt::Write;
use std::time::Duration;

use super::bench::Bench;
use super::model::{Model, Step, Verb};
use super::tell::{Told, told_error, told_written};
use crate::key::RecordKey;
use crate::record::OwnerId;
use crate::storage::Storage;

/// What a server's shortest retention may last longer than none: a step that asks for none is followed by so much.
const GRAIN: Duration = Duration::from_millis(5);

/// So much less than five seconds that what the last answers waited for has room.
const IN_TIME: Duration = Duration::from_secs(4);
/// How often a history is asked that was told differently and was not through in time.
const ATTEMPTS: u32 = 6;

/// Goes through a history. Where the storage was so slow that it may be why an inexact one is told differently, nothing is shown: it is
/// asked again. If it never gets through in time, its story says so.
pub(super) async fn tell_in_time<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        let begun = bench.now().await;
        let Err(mut story) = tell(bench, steps).await else { return Ok(()) };
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

/// Goes through a history with a key of its own; the story where it is told differently.
async fn tell<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let key = RecordKey::from_stored(format!("histories:{}", OwnerId::random()));
    let told = Told { exact: bench.is_exact() };
    let start = if told.exact { bench.now().await } else { Model::START };
    let mut model = Model::new(start);
    let mut story = String::new();
    for step in steps {
        let verb = step.verb(&key);
        let expected = model.answer(&verb, told);
        let answer = ask(bench, verb, told).await;
        let there = match bench.storage().load(&key).await {
            Ok(record) => told.record(record.as_ref(), bench.now().await),
            Err(error) => told_error(&error),
        };
        let must_be = model.there(told);
        let _ = writeln!(story, "  {step:?}: {answer}\n    then there is {there}");
        if answer != expected || there != must_be {
            let _ = write!(
                story,
                "    but the table answers: {expected}\n    and then there is {must_be}\n    of {key:?}"
            );
            return Err(story);
        }
    }
    Ok(())
}

/// Asks the storage.
async fn ask<B: Bench>(bench: &B, verb: Verb, told: Told) -> String {
    let storage = bench.storage();
    match verb {
        Verb::Claim(claim) => told.claimed(storage.claim(&claim).await),
        Verb::Renew(renew) => match storage.renew(&[renew]).await.pop() {
            Some(answer) => told_written(answer),
            None => "nothing".to_owned(),
        },
        Verb::Complete(complete) => {
            let written = storage.complete(&complete).await;
            if !told.exact && complete.ttl.is_zero() {
                tokio::time::sleep(GRAIN).await;
            }
            told_written(written)
        }
        Verb::Release(release) => {
            let written = storage.release(&release).await;
            if !told.exact {
                // The claim's ttl may have been none.
                tokio::time::sleep(GRAIN).await;
            }
            told_written(written)
        }
        Verb::Purge => match storage.purge(1_000).await {
            Ok(_) => String::new(),
            Err(error) => told_error(&error),
        },
        Verb::Pass(key, time) => {
            bench.pass(&key, time).await;
            String::new()
        }
    }
}
