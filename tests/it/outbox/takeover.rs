//! A relay that stands still, is taken over and comes back: nothing that it says then counts.

use std::sync::mpsc::{Receiver, Sender, channel};

use idempotency::outbox::{Event, PublishError, Publisher};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::recorder::{Gated, Recorder};
use super::stage::{Db, Running, Stage, on_every_database, outbox_at, quick};
use crate::stage::{Gate, LEASE, in_time};

on_every_database!(what_a_stale_relay_says_is_refused, a_stale_relay_that_failed_changes_nothing);

/// Stops the whole thread, as a machine that is suspended would: the relay's heartbeats stop as well.
struct Suspended {
    broker: Recorder,
    begun: Sender<()>,
    resumed: Mutex<Receiver<Result<(), PublishError>>>,
}

impl Publisher for Suspended {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        self.begun.send(()).unwrap();
        self.resumed.lock().recv().unwrap()?;
        self.broker.publish(event).await
    }
}

async fn what_a_stale_relay_says_is_refused<DB: Db>(stage: Stage<DB>) {
    comes_back(stage, Ok(())).await;
}

async fn a_stale_relay_that_failed_changes_nothing<DB: Db>(stage: Stage<DB>) {
    comes_back(stage, Err(PublishError::permanent("no such topic"))).await;
}

async fn comes_back<DB: Db>(stage: Stage<DB>, answer: Result<(), PublishError>) {
    let ids = stage.enqueue_many("orders", "42", 2).await;
    let (begun, has_begun) = channel();
    let (resume, resumed) = channel();
    let first = Recorder::new();
    let publisher = Suspended { broker: first.clone(), begun, resumed: Mutex::new(resumed) };
    let url = stage.url.clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    // On a runtime of its own, whose only thread stands still.
    let suspended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let outbox = outbox_at::<DB>(&url).await;
            quick(outbox.relay(publisher).lease(LEASE)).run(stopped).await
        })
    });
    let has_begun = tokio::task::spawn_blocking(move || has_begun.recv());
    in_time(has_begun).await.unwrap().unwrap();

    // Another relay takes over, and is in the middle of publishing when the first one comes back.
    let (second, gate) = (Recorder::new(), Gate::default());
    let gated = Gated { broker: second.clone(), key: "42", gate: gate.clone() };
    let relay = Running::start(quick(stage.outbox.relay(gated)));
    gate.begun().await;
    stop.cancel();
    resume.send(answer).unwrap();
    let ended = tokio::task::spawn_blocking(|| suspended.join());
    in_time(ended).await.unwrap().unwrap().unwrap();

    assert_eq!((stage.rows().await, stage.free().await), (2, 0), "both are still the second's");
    assert!(stage.outbox.dead_letters(1).await.unwrap().is_empty());
    gate.open();
    second.until(2).await;
    relay.stop().await;
    let taken: Vec<_> = second.taken().iter().map(|event| event.id).collect();
    assert_eq!(taken, ids);
    assert_eq!(stage.rows().await, 0);
    assert!(first.taken().len() <= 1, "it went on with what was not its any more");
}
