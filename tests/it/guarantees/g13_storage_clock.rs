//! G13: the storage's clock decides leases and expiry; a client's wall clock never does.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{env, fs};

use idem_runtime::clock::ManualClock;
use idem_runtime::record::{CrashPolicy, Finished, Record, State};
use idem_runtime::storage::{Claimed, MemoryStorage, Storage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use idem_tests::{Body, Ended, Job};
use testkit::process::command;

use crate::stage::{KEPT, LEASE, Stage, TTL, block_on};
use crate::worker::Worker;

const DAY: i64 = 24 * 60 * 60;

/// A worker whose wall clock is off by `offset` in the notation of libfaketime; its monotonic clock is not.
fn worker_off_by(offset: &str, job: &Job) -> Worker {
    let mut start = command(Worker::PROGRAM);
    start.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset);
    start.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Worker::start_by(start, job)
}

/// The library that `IDEM_LIBFAKETIME` names, or the one that the machine has. Without it there is no such test, and that is no pass.
fn libfaketime() -> PathBuf {
    let named = env::var_os("IDEM_LIBFAKETIME").filter(|path| !path.is_empty());
    let of_machine = || {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
        let folders = folders.chain(["/usr/lib".into(), "/usr/lib64".into()]);
        folders.map(|dir| dir.join("faketime/libfaketime.so.1")).find(|path| path.is_file())
    };
    named.map(PathBuf::from).or_else(of_machine).expect(
        "libfaketime is needed: the package faketime or libfaketime, or IDEM_LIBFAKETIME=/path/to/libfaketime.so.1",
    )
}

#[expect(clippy::disallowed_methods, reason = "to see that the worker's is off")]
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn client_that_is_days_ahead_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("+3d", 3 * DAY, &Stage::on_redis());
}

#[test]
fn client_that_is_days_behind_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("-3d", -3 * DAY, &Stage::on_redis());
}

#[test]
fn client_of_postgres_that_is_days_ahead_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("+3d", 3 * DAY, &block_on(Stage::on_postgres()));
}

#[test]
fn client_of_postgres_that_is_days_behind_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("-3d", -3 * DAY, &block_on(Stage::on_postgres()));
}

#[test]
fn client_of_mysql_that_is_days_ahead_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("+3d", 3 * DAY, &block_on(Stage::on_mysql()));
}

#[test]
fn client_of_mysql_that_is_days_behind_takes_over_no_live_lease_and_forgets_no_result() {
    client_off_by("-3d", -3 * DAY, &block_on(Stage::on_mysql()));
}

fn client_off_by(offset: &str, seconds: i64, stage: &Stage) {
    let (done, open) = (stage.job("done", "right"), stage.file("open"));
    let mut right = Worker::start(&done);
    right.go();
    assert_eq!(right.ended(1), [Ended::Executed { value: "right".into(), recovered: false }]);
    let mut held = stage.job("held", "right");
    held.lease = TTL;
    held.body = Body::AwaitsFile(open.clone());
    let mut holder = Worker::start(&held);
    holder.go_and_begin();

    // A finished record is replayed, although it expired days ago by this worker's clock.
    let mut off = worker_off_by(offset, &stage.job("done", "off"));
    let differs = off.wall_clock.cast_signed() - wall_clock().cast_signed();
    assert!((differs - seconds).abs() < DAY / 2, "off by {differs} s");
    off.go();
    assert_eq!(off.ended(1), [Ended::Replayed { value: "right".into() }]);

    // A live lease is not over.
    let mut rival = stage.job("held", "off");
    rival.wait = LEASE;
    let mut off = worker_off_by(offset, &rival);
    off.go();
    assert_eq!(off.ended(1), [Ended::refused(ErrorKind::AlreadyProcessing)]);
    fs::write(&open, "").unwrap();
    assert_eq!(holder.ended(1), [Ended::Executed { value: "right".into(), recovered: false }]);

    // Its own lease and result are worth as much as anybody's, and its heartbeats keep it.
    let (mut own, go_on) = (stage.job("own", "off"), stage.file("go on"));
    own.lease = KEPT;
    let mut off =
        worker_off_by(offset, &Job { body: Body::AwaitsFile(go_on.clone()), ..own.clone() });
    off.go_and_begin();
    let mut rival = own.clone();
    rival.wait = KEPT * 2;
    let mut right = Worker::start(&rival);
    right.go();
    assert_eq!(right.ended(1), [Ended::refused(ErrorKind::AlreadyProcessing)]);
    fs::write(&go_on, "").unwrap();
    assert_eq!(off.ended(1), [Ended::Executed { value: "off".into(), recovered: false }]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_completed_just_now(&runtime.block_on(stage.record("own")).unwrap());
    let mut right = Worker::start(&own);
    right.go();
    assert_eq!(right.ended(1), [Ended::Replayed { value: "off".into() }]);
    // One that ran in vain would have been given the other's result as well.
    for key in ["done", "held", "own"] {
        assert_eq!(stage.ledger.executions(key), 1, "{key}");
    }
}

/// Timestamps of a record are the server's: a client's clock that is off does not show in them.
fn assert_completed_just_now(record: &Record) {
    let time = testkit::redis::shared().command(&["TIME"]);
    let now: u64 = time.lines().next().unwrap().parse().unwrap();
    let State::Finished(Finished { at, .. }) = record.state else { panic!("{record:?}") };
    assert!((at.as_millis() / 1000).abs_diff(now) < 60, "{at:?} {now}");
}

/// Memory has no server; its own clock decides, and nothing else.
#[tokio::test]
async fn memory_is_ruled_by_its_own_clock_alone() {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    let stage = Stage::on_memory();
    let idem = Idempotency::builder(storage.clone()).namespace(&stage.namespace).build().unwrap();
    let claim = stage.claim("k", LEASE, CrashPolicy::Retry);
    assert!(matches!(storage.claim(&claim).await.unwrap(), Claimed::Acquired { .. }));
    let call = || idem.operation("charge").key("k").ttl(TTL).run(async { Ok::<_, Error>(1) });
    tokio::time::sleep(LEASE * 2).await;
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    clock.advance(LEASE);
    assert_eq!(call().await.unwrap(), 1);
    clock.advance(TTL.saturating_sub(Duration::from_millis(1)));
    let replay =
        idem.operation("charge").key("k").run_with_outcome(async { Ok::<_, Error>(2) }).await;
    assert!(replay.unwrap().is_replayed());
    clock.advance(Duration::from_millis(1));
    let fresh = idem.operation("charge").key("k").run(async { Ok::<_, Error>(3) }).await;
    assert_eq!(fresh.unwrap(), 3);
}
