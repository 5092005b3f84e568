//! Guarantees that the server itself puts to the test: it dies, comes back, goes away for a while, and holds what it cannot read.

use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::{ErrorKind, Source};
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{Product, SqlServer, query};

use crate::stage::{PATIENCE, Stage, TTL, in_time, until};

/// G12: what was committed is there after a crash, results and locks alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_results_and_locks_over_a_crash() {
    let mut server = SqlServer::start(Product::Postgres);
    let stage = Stage::on_postgres_at(&server.url()).await;
    let process = stage.process().await;
    process.charge("done").call(stage.body("done", "first")).await.unwrap();
    let running = process.begin(&stage, "running", "first", |op| op.lease(TTL)).await;
    server.kill();
    server.start_again();
    let other = stage.process().await;
    let replay = in_time(other.charge("done").run(stage.body("done", "other"))).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    let rival = other.charge("running").call(stage.body("running", "other"));
    assert_eq!(in_time(rival).await.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

/// G9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_went_away_before_the_body_is_an_error_and_the_body_does_not_run() {
    let mut server = SqlServer::start(Product::Postgres);
    let stage = Stage::on_postgres_at(&server.url()).await;
    let process = stage.process().await;
    server.kill();
    let error = in_time(process.charge("k").call(stage.body("k", ""))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.is_retryable());
    assert_eq!(stage.ledger.executions("k"), 0);
    server.start_again();
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    let again = in_time(process.charge("k").call(stage.body("k", "first")));
    assert_eq!(again.await.unwrap(), "first");
}

/// G9: heartbeats fail while the server is away; the owner is still the owner when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_is_unreachable_for_a_while_costs_nothing_but_time() {
    let server = SqlServer::start(Product::Postgres);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let stage = Stage::on_postgres_at(&proxy.before(&server.url())).await;
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op).await;
    proxy.refuse();
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.accept();
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    let call = process.charge("k").wait(PATIENCE).call(stage.body("k", "other"));
    assert_eq!(in_time(call).await.unwrap(), "first");
}

/// G10: the connection breaks instead of an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_requests_and_replies_on_the_wire_run_the_body_once() {
    const BIND: u8 = b'B';
    let server = SqlServer::start(Product::Postgres);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let stage = Stage::on_postgres_at(&proxy.before(&server.url())).await;
    let process = stage.process().await;
    let statement = || Loss::next(1).of_requests(|request| request.first() == Some(&BIND));
    for number in 0..4 {
        let key = format!("k{number}");
        let before = proxy.counts();
        // The claim is the first statement of a call. Past it, the completion is.
        let body = async {
            if number >= 2 {
                if number == 2 {
                    proxy.drop_requests(statement())
                } else {
                    proxy.drop_replies(statement())
                }
            }
            stage.body(&key, "first").await
        };
        match number {
            0 => proxy.drop_requests(statement()),
            1 => proxy.drop_replies(statement()),
            _ => {}
        }
        let call = in_time(process.charge(&key).lease(TTL).run(body));
        assert_eq!(call.await.unwrap().value, "first");
        until("nothing is under way", || process.idem.in_flight() == 0).await;
        let counts = proxy.counts();
        let lost = counts.dropped_requests + counts.dropped_replies
            - before.dropped_requests
            - before.dropped_replies;
        assert_eq!(lost, 1, "{counts:?}");
        let replay = process.charge(&key).run(stage.body(&key, "other")).await.unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
        assert_eq!(stage.ledger.executions(&key), 1);
    }
}

/// G11: a record that cannot be read is an error for every caller, and stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_rows_fail_closed_and_stay() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let url = server.url();
    let stage = Stage::on_postgres_at(&url).await;
    for harm in [
        "version = 2",
        "version = 0",
        "status = 'done'",
        "owner = 'x'",
        "fingerprint = substr(fingerprint, 2)",
        "payload = NULL",
        "payload = payload || 'x'",
        "codec = NULL",
        "codec = 'no such tag, and too long'",
        "finished_at = NULL",
        "failure = 'error'",
        "lease_ms = -1",
        "fence = -1",
        "size = NULL",
    ] {
        let process = stage.process().await;
        process.charge(harm).call(stage.body("k", "first")).await.unwrap();
        let key = stage.record_key(harm);
        let of_key = format!("WHERE key = $key${}$key$", key.as_str());
        query(&url, &format!("UPDATE idempotency_records SET {harm} {of_key}")).unwrap();
        let row =
            || query(&url, &format!("SELECT r::text FROM idempotency_records r {of_key}")).unwrap();
        let before = row();
        for process in [process, stage.process().await] {
            let call =
                process.charge(harm).wait(PATIENCE).fail_open().call(stage.body("k", "again"));
            let error = in_time(call).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{harm}");
            assert_eq!(process.idem.in_flight(), 0);
        }
        assert_eq!(row(), before, "{harm}");
    }
    assert_eq!(stage.ledger.executions("k"), 14);
}

/// G11: a dead owner's record that a newer version wrote: its lease is no reason to take it over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processing_row_of_a_newer_version_is_never_taken_over() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let stage = Stage::on_postgres_at(&server.url()).await;
    let lease = Duration::from_millis(50);
    stage.dead_owner("k", lease, CrashPolicy::Retry).await;
    server.query("UPDATE idempotency_records SET version = 2");
    tokio::time::sleep(lease * 3).await;
    let process = stage.process().await;
    let call = process.charge("k").wait(PATIENCE).call(stage.body("k", "again"));
    assert_eq!(in_time(call).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(stage.ledger.executions("k"), 0);
}
