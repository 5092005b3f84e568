//! Relay processes that are killed right after they have published: what they published comes again with the same id, and has its effect
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use idem_runtime::{Error, Idempotency};
use idem_tests::Relaying;
use idempotency::idempotent;
use idempotency::outbox::{Event, EventId};
use redis::streams::StreamRangeReply;
use testkit::ledger::Ledger;

use super::processes::RelayProcess;
use super::stage::{Db, Stage, inside, on_every_database};
use crate::stage::{LEASE, PATIENCE};

on_every_database!(
    a_relay_killed_after_publishing_publishes_again_with_the_same_id,
    every_event_has_its_effect_once_however_many_relays_are_killed,
);

pub(super) fn told<DB: Db>(stage: &Stage<DB>, stands_still_after: Option<usize>) -> Relaying {
    Relaying {
        database: stage.url.clone(),
        redis: testkit::redis::shared().url().to_owned(),
        prefix: prefix(stage),
        lease: LEASE,
        stands_still_after,
    }
}

/// Streams of the test's own.
pub(super) fn prefix<DB: Db>(stage: &Stage<DB>) -> String {
    format!("{}:{}:", DB::NAME, stage.url)
}

/// Everything that was ever published, in its order.
pub(super) async fn published<DB: Db>(stage: &Stage<DB>, topic: &str) -> Vec<Event> {
    let client = redis::Client::open(testkit::redis::shared().url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let stream = format!("{}{topic}", prefix(stage));
    let entries: StreamRangeReply =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut redis).await.unwrap();
    entries.ids.iter().map(|entry| Event::try_from(entry).unwrap()).collect()
}

/// The consumer: its effect is a line in the ledger.
#[idempotent(
    name = "on_event",
    key = "event:{event.id}",
    on_error = "release",
    with = handle,
    skip(handle, ledger)
)]
pub(super) async fn on_event(
    handle: &Idempotency,
    ledger: &Ledger,
    event: Event,
) -> Result<(), Error> {
    ledger.record(&event.id.to_string(), &event.key);
    Ok(())
}

async fn a_relay_killed_after_publishing_publishes_again_with_the_same_id<DB: Db>(
    stage: Stage<DB>,
) {
    let id = stage.enqueue("orders", "42", 7).await;
    let first = RelayProcess::start(&told(&stage, Some(1)));
    assert_eq!(first.next(), id);
    first.kill();
    assert_eq!(stage.rows().await, 1, "it was killed before it could remove it");
    let second = RelayProcess::start(&told(&stage, None));
    assert_eq!(second.next(), id);
    stage.until_rows(0).await;

    let deliveries = published(&stage, "orders").await;
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[0], deliveries[1]);
    let consumers = crate::stage::Stage::on_memory();
    let consumer = consumers.process().await;
    for event in deliveries {
        on_event(&consumer.idem, &consumers.ledger, event).await.unwrap();
    }
    assert_eq!(consumers.ledger.executions(&id.to_string()), 1);
}

const KILLS: usize = 10;

async fn every_event_has_its_effect_once_however_many_relays_are_killed<DB: Db>(stage: Stage<DB>) {
    let mut enqueued = BTreeMap::<String, Vec<EventId>>::new();
    let bystander = RelayProcess::start(&told(&stage, None));
    for kill in 0..KILLS {
        // As many as the doomed one needs at the least, and others for the one beside it.
        let doomed = RelayProcess::start(&told(&stage, Some(1 + kill % 3)));
        let (mut rounds, begun) = (0, Instant::now());
        while !doomed.has_published() {
            rounds += 1;
            assert!(begun.elapsed() < PATIENCE, "the relay that is to be killed publishes nothing");
            let mut tx = stage.pool.begin().await.unwrap();
            for key in ["a", "b", "c"] {
                let id = stage.outbox.enqueue(inside(&mut tx), "orders", key, &kill).await.unwrap();
                enqueued.entry(key.to_owned()).or_default().push(id);
            }
            // Every other one of them never happened.
            if rounds % 2 == 0 {
                tx.rollback().await.unwrap();
                for ids in enqueued.values_mut() {
                    ids.pop();
                }
            } else {
                tx.commit().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        doomed.kill();
    }
    stage.until_rows(0).await;
    drop(bystander);

    let deliveries = published(&stage, "orders").await;
    for (key, ids) in &enqueued {
        let mut seen = BTreeSet::new();
        let of_key = deliveries.iter().filter(|event| event.key == *key).map(|event| event.id);
        let first: Vec<_> = of_key.filter(|id| seen.insert(*id)).collect();
        assert_eq!(first, *ids, "first deliveries of key {key}");
    }
    // Two consumers of one group, on one storage; one is given everything twice.
    let consumers = crate::stage::Stage::on_redis();
    for consumer in [consumers.process().await, consumers.process().await] {
        for event in &deliveries {
            on_event(&consumer.idem, &consumers.ledger, event.clone()).await.unwrap();
        }
    }
    let effects = consumers.ledger.counts();
    assert_eq!(effects.len(), enqueued.values().map(Vec::len).sum::<usize>());
    assert!(effects.values().all(|count| *count == 1), "{effects:?}");
}
