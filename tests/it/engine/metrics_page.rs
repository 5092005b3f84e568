//! `docs/metrics.md`: that its tables say what is counted, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Fingerprint};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use serde::{Deserialize, Serialize, Serializer};
use testkit::pages;

use super::metrics::dropped_half_way;
use crate::stage::{PATIENCE, Stage, in_time};

pub(crate) const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A metric with its kind and its labels.
pub(crate) type Metric = (String, String, Vec<String>);

/// What the page says of the metrics whose names begin so.
pub(crate) fn documented(prefix: &str) -> BTreeSet<Metric> {
    let rows = pages::table(PAGE, "## Metrics").into_iter().map(|row| {
        let [name] = &pages::code(&row[0])[..] else { panic!("{row:?}") };
        (name.clone(), row[1].clone(), pages::code(&row[2]))
    });
    rows.filter(|(name, ..)| name.starts_with(prefix)).collect()
}

/// The values of a label, as the page lists them under a heading.
pub(crate) fn values(heading: &str) -> BTreeSet<String> {
    let rows = pages::table(PAGE, heading).into_iter();
    rows.map(|row| pages::code(&row[0]).concat()).collect()
}

/// What was counted: the metrics, each of them described, and the values of one label.
pub(crate) fn emitted(of: &Snapshotter, label: &str) -> (BTreeSet<Metric>, BTreeSet<String>) {
    let (mut metrics, mut values) = (BTreeSet::new(), BTreeSet::new());
    for (key, _, description, _) in of.snapshot().into_vec() {
        let (kind, key) = (key.kind(), key.key());
        assert!(description.is_some(), "{} is not described", key.name());
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        metrics.insert((key.name().to_owned(), kind.to_owned(), labels));
        let of_label = key.labels().filter(|other| other.key() == label);
        values.extend(of_label.map(|label| label.value().to_owned()));
    }
    (metrics, values)
}

/// A value that cannot be written down.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

/// Each outcome that the page lists, brought about; on one thread, which is what the recorder is for.
#[tokio::test(start_paused = true)]
async fn the_page_lists_every_outcome_of_calls() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let process = stage.process_with(|builder| builder.max_result_size(64)).await;
    let elsewhere = stage.process().await;
    let value = || stage.body("k", "value");
    let endless = || std::future::pending::<Result<String, Error>>();
    let soon = Duration::from_millis(1);
    stage.dead_owner("recovered", soon, CrashPolicy::Retry).await;
    stage.dead_owner("parked", soon, CrashPolicy::Park).await;
    tokio::time::sleep(Duration::from_millis(5)).await;

    // executed, replayed, mismatch, recovered, indeterminate
    for key in ["k", "k", "recovered"] {
        process.charge(key).run(value()).await.unwrap();
    }
    let other = Fingerprint::of("charge", &1).unwrap();
    process.charge("k").with_fingerprint(other).run(value()).await.unwrap_err();
    process.charge("parked").run(value()).await.unwrap_err();
    // failed, previously_failed
    for _ in 0..2 {
        let declined = async { Err::<String, _>(Error::new(ErrorKind::Configuration, "declined")) };
        process.charge("failed").run(declined).await.unwrap_err();
    }
    // unrecorded, too_large, serialization
    let _ = process.charge("large").run(async { Ok::<_, Error>("x".repeat(65)) }).await.unwrap();
    process.charge("large").run(value()).await.unwrap_err();
    let _ = process.charge("unwritable").run(async { Ok::<_, Error>(Unwritable) }).await.unwrap();
    process.charge("unwritable").run(value()).await.unwrap_err();
    // panicked, cancelled, withdrawn, undelivered
    let panics = process.charge("panics").run(async { panic!("on purpose") });
    let panics: Result<Result<String, Error>, _> = AssertUnwindSafe(panics).catch_unwind().await;
    panics.unwrap_err();
    dropped_half_way(process.charge("cancelled").run(endless())).await;
    process.faults.next(Verb::Claim, Fault::Hang);
    dropped_half_way(process.charge("withdrawn").run(endless())).await;
    process.faults.next(Verb::Complete, Fault::Hang);
    dropped_half_way(process.charge("undelivered").run(value())).await;
    // storage, corrupt
    for kind in [StorageErrorKind::Full, StorageErrorKind::Corrupt] {
        process.faults.next(Verb::Claim, Fault::Fail(kind));
        process.charge("fails").run(value()).await.unwrap_err();
    }
    // already_processing, lease_lost
    let lease = Duration::from_millis(30);
    elsewhere.faults.always(Verb::Renew, Fault::Refuse);
    let late = elsewhere.begin(&stage, "late", "value", |op| op.lease(lease)).await;
    process.charge("late").run(value()).await.unwrap_err();
    tokio::time::sleep(2 * lease).await;
    let rival = process.begin(&stage, "late", "value", |op| op.wait(PATIENCE)).await;
    assert_eq!(late.finish().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    let _ = rival.finish().await.unwrap();
    // reentrant, key_generation, configuration, not_configured
    let itself = process.charge("itself").run(value());
    in_time(process.charge("itself").run(itself)).await.unwrap_err();
    process.charge("").run(value()).await.unwrap_err();
    process.charge("k").ttl(Duration::ZERO).run(value()).await.unwrap_err();
    let missing = Err(Error::new(ErrorKind::NotConfigured, "there is no handle"));
    let without = idem_runtime::macro_support::operation(missing, "charge", Ok(other));
    without.run(value()).await.unwrap_err();

    let (metrics, outcomes) = emitted(&snapshotter, "outcome");
    assert_eq!(outcomes, values("## Outcomes of calls"));
    // Those of the outbox and of HTTP have tests of their own.
    let mut of_calls = documented("idempotency_call");
    of_calls.extend(documented("idempotency_parked"));
    assert_eq!(metrics, of_calls);
}

/// An error of each kind that a call can end with is an outcome; a new kind is not forgotten.
#[test]
fn the_page_lists_every_kind_of_error() {
    let source = include_str!("../../../idem-runtime/src/error/kind.rs");
    let (_, below) = source.split_once("pub fn as_str(self)").unwrap();
    let (names, _) = below.split_once("\n    }\n").unwrap();
    let names = names.lines().filter(|line| line.contains(" => "));
    let kinds: BTreeSet<_> = names.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect();
    assert!(kinds.contains("mismatch"), "{kinds:?}");
    // Only `set_global` gives it, which is no call.
    let no_outcome = BTreeSet::from(["already_configured".to_owned()]);
    let missing: BTreeSet<_> = kinds.difference(&values("## Outcomes of calls")).cloned().collect();
    assert_eq!(missing, no_outcome);
}

/// Names in the sources that count are those of the page.
#[test]
fn the_page_lists_every_metric_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = BTreeSet::new();
    for source in ["idem-runtime", "idem-http", "idem-outbox"] {
        let path = root.join(source).join("src/telemetry/metrics_on.rs");
        let text = fs::read_to_string(path).unwrap();
        let quoted = text.split('"').skip(1).step_by(2);
        named.extend(quoted.filter(|text| text.starts_with("idempotency_")).map(str::to_owned));
    }
    let listed: BTreeSet<_> =
        documented("idempotency_").into_iter().map(|(name, ..)| name).collect();
    assert_eq!(named, listed);
}
