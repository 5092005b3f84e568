//! The whole path, from the transaction over the stream to the effect, with relays and consumers that are killed at every step of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use idem_runtime::key::{KeyBuilder, RecordKey};
use idem_runtime::record::{Failure, Finish, State};
use idem_runtime::storage::Storage;
use idem_tests::{Consumed, Consuming, Point};
use idempotency::outbox::EventId;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamInfoGroupsReply, StreamInfoStreamReply};

use super::killed_relays::{prefix, told};
use super::processes::{ConsumerProcess, RelayProcess};
use super::stage::{Db, Stage, inside, on_every_database};
use crate::stage::{LEASE, PATIENCE, Stage as Records, in_time};

on_every_database!(
    every_event_has_its_effect_once_however_many_relays_and_consumers_are_killed,
    no_event_has_its_effect_twice_whenever_consumers_are_killed_if_crashes_park,
);

/// A stream between relays and consumers, and the events that were committed.
struct Path<'a, DB: Db> {
    stage: &'a Stage<DB>,
    records: Records,
    redis: MultiplexedConnection,
    stream: String,
    committed: Vec<EventId>,
    consumers: usize,
}

impl<'a, DB: Db> Path<'a, DB> {
    async fn new(stage: &'a Stage<DB>) -> Self {
        let client = redis::Client::open(testkit::redis::shared().url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let stream = format!("{}orders", prefix(stage));
        let _: () = redis.xgroup_create_mkstream(&stream, Consuming::GROUP, "0").await.unwrap();
        let (records, committed) = (Records::on_redis(), Vec::new());
        Self { stage, records, redis, stream, committed, consumers: 0 }
    }

    fn consumer(&mut self, parks: bool, stands_still: Option<Point>) -> ConsumerProcess {
        self.consumers += 1;
        ConsumerProcess::start(&Consuming {
            redis: testkit::redis::shared().url().to_owned(),
            stream: self.stream.clone(),
            name: self.consumers.to_string(),
            storage: self.records.url().to_owned(),
            namespace: self.records.namespace.clone(),
            ledger: self.records.ledger.path().to_owned(),
            lease: LEASE,
            parks,
            stands_still,
        })
    }

    /// One event for each of some keys, and as many that are rolled back.
    async fn enqueue(&mut self) {
        let mut tx = self.stage.pool.begin().await.unwrap();
        for key in ["a", "b", "c"] {
            let id = self.stage.outbox.enqueue(inside(&mut tx), "orders", key, &1).await.unwrap();
            self.committed.push(id);
        }
        tx.commit().await.unwrap();
        let mut tx = self.stage.pool.begin().await.unwrap();
        for key in ["a", "b", "c"] {
            self.stage.outbox.enqueue(inside(&mut tx), "orders", key, &2).await.unwrap();
        }
        tx.rollback().await.unwrap();
    }

    /// Enqueues until `done` says so.
    async fn enqueue_until(&mut self, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "what is to be killed gets nothing to do");
            self.enqueue().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all events have been published, read and acknowledged.
    async fn until_done(&mut self) {
        self.stage.until_rows(0).await;
        let last: StreamInfoStreamReply = self.redis.xinfo_stream(&self.stream).await.unwrap();
        let done = async {
            loop {
                let info: StreamInfoGroupsReply =
                    self.redis.xinfo_groups(&self.stream).await.unwrap();
                let group = &info.groups[0];
                if group.pending == 0 && group.last_delivered_id == last.last_generated_id {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time(done).await;
    }

    /// How often each event had its effect, and nothing else had any.
    fn effects(&self) -> Vec<(EventId, usize)> {
        let mut effects = self.records.ledger.counts();
        let of = |id: &EventId| (*id, effects.remove(&id.to_string()).unwrap_or(0));
        let of_committed = self.committed.iter().map(of).collect();
        assert_eq!(effects, BTreeMap::new(), "effects of events that were never committed");
        of_committed
    }

    /// Whether an event waits for somebody who finds out what became of it.
    async fn is_in_doubt(&self, event: EventId) -> bool {
        let key = KeyBuilder::new(64).literal("event:").value("event.id", &event);
        let key = key.and_then(KeyBuilder::finish).unwrap();
        let name = RecordKey::new(&self.records.namespace, None, &key).unwrap();
        let record = self.records.storage().await.load(&name).await.unwrap();
        let Some(State::Finished(finished)) = record.map(|record| record.state) else {
            return false;
        };
        finished.finish == Finish::Failed(Failure::Indeterminate)
    }
}

/// Every point before the effect and after its record. What lies between them is the next test's.
const POINTS: [Point; 3] = [Point::Read, Point::Begun, Point::Recorded];

async fn every_event_has_its_effect_once_however_many_relays_and_consumers_are_killed<DB: Db>(
    stage: Stage<DB>,
) {
    let mut path = Path::new(&stage).await;
    let bystander = RelayProcess::start(&told(&stage, None));
    for (round, point) in POINTS.into_iter().cycle().take(2 * POINTS.len()).enumerate() {
        // Killed when the broker has an event and the database does not know, or in the middle of something.
        let stands_still_after = (round % 2 == 0).then_some(1 + round % 3);
        let relay = RelayProcess::start(&told(&stage, stands_still_after));
        let consumer = path.consumer(false, Some(point));
        let (mut has_published, mut stands_still) = (false, false);
        path.enqueue_until(|| {
            has_published |= relay.has_published();
            stands_still |= consumer.stands_still();
            has_published && stands_still
        })
        .await;
        relay.kill();
        consumer.kill();
    }
    // One that is killed between its effect and its record would have the effect twice, so this one lives.
    let last = path.consumer(false, None);
    path.until_done().await;
    drop((bystander, last));
    for (event, effects) in path.effects() {
        assert_eq!(effects, 1, "{event}");
    }
}

async fn no_event_has_its_effect_twice_whenever_consumers_are_killed_if_crashes_park<DB: Db>(
    stage: Stage<DB>,
) {
    let mut path = Path::new(&stage).await;
    let relay = RelayProcess::start(&told(&stage, None));
    // One that has had its effect and will not record it.
    let doomed = path.consumer(true, Some(Point::Effected));
    path.enqueue_until(|| doomed.stands_still()).await;
    doomed.kill();
    let doubted = path.consumer(true, None);
    while !matches!(doubted.next(), Consumed::InDoubt { .. }) {}
    // Others at any moment, with one beside them.
    for round in 0..8 {
        let doomed = path.consumer(true, None);
        path.enqueue_until(|| doomed.has_handled()).await;
        for _ in 0..round % 4 {
            path.enqueue().await;
        }
        doomed.kill();
    }
    path.until_done().await;
    drop((relay, doubted));
    let effects = path.effects();
    assert!(effects.iter().all(|(_, count)| *count <= 1), "{effects:?}");
    let mut in_doubt = 0;
    for (event, count) in effects {
        let is_in_doubt = path.is_in_doubt(event).await;
        in_doubt += usize::from(is_in_doubt);
        assert!(count == 1 || is_in_doubt, "the event {event} is lost without a trace");
    }
    assert!(in_doubt >= 1, "the first one was killed after its effect");
}
