//! What the feature `metrics` counts of events, and that `docs/metrics.md` says so.

use idem_runtime::Idempotency;
use idempotency::outbox::PublishError;
use metrics_util::debugging::DebuggingRecorder;
use sqlx::Sqlite;

use super::recorder::Recorder;
use super::stage::{Running, Stage, quick};
use crate::engine::metrics_page::{documented, emitted, values};

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn the_page_lists_every_outcome_of_events() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    // One handle, as an application has; none of it is asked anything.
    let _idem = Idempotency::memory();
    let stage = Stage::<Sqlite>::new().await;
    let broker = Recorder::that(|event, tried| match event.key.as_str() {
        "dead" => Err(PublishError::permanent("never")),
        "late" if tried == 0 => Err(PublishError::retryable("not yet")),
        _ => Ok(()),
    });
    for key in ["dead", "late", "good"] {
        stage.enqueue("orders", key, 1).await;
    }
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(2).await;
    relay.stop().await;
    let (metrics, outcomes) = emitted(&snapshotter, "outcome");
    assert_eq!(metrics, documented("idempotency_outbox_"));
    assert_eq!(outcomes, values("## Outcomes of events"));
}
