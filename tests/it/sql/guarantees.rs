//! Guarantees that the server itself puts to the test: it dies, comes back, goes away for a while, and holds what it cannot read.

use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::testing::Verb;
use idem_runtime::{ErrorKind, Source};
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{Product, SqlServer, query};

use crate::stage::{BUSY, PATIENCE, Stage, TTL, in_time, until};

/// Makes a test on each server of each function named.
macro_rules! on_each_server {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Product::Postgres).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Product::MySql).await;
            })*
        }
    };
}

on_each_server!(
    lost_requests_and_replies_on_the_wire_run_the_body_once,
    processing_row_of_a_newer_version_is_never_taken_over,
    results_and_locks_are_kept_over_a_crash,
    server_that_is_unreachable_for_a_while_costs_nothing_but_time,
    server_that_went_away_before_the_body_is_an_error_and_the_body_does_not_run,
    unreadable_rows_fail_closed_and_stay,
);

/// Loses the next statement or its answer. What prepares a statement, and what tries a connection, is no request of a verb.
fn next_statement(product: Product) -> Loss {
    Loss::next(1).of_requests(match product {
        Product::Postgres => |request: &[u8]| request.first() == Some(&b'B'),
        Product::MySql => |request: &[u8]| request.get(4) == Some(&0x17),
    })
}

/// G12: what was committed is there after a crash, results and locks alike.
async fn results_and_locks_are_kept_over_a_crash(product: Product) {
    let mut server = SqlServer::start(product);
    let stage = Stage::on_server(product, &server.url()).await;
    let process = stage.process().await;
    process.charge("done").run(stage.body("done", "first")).await.unwrap();
    let running = process.begin(&stage, "running", "first", |op| op.lease(TTL)).await;
    server.kill();
    server.start_again();
    let other = stage.process().await;
    let replay =
        in_time(other.charge("done").run_with_outcome(stage.body("done", "other"))).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    let rival = other.charge("running").run(stage.body("running", "other"));
    assert_eq!(in_time(rival).await.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

/// G9.
async fn server_that_went_away_before_the_body_is_an_error_and_the_body_does_not_run(
    product: Product,
) {
    let mut server = SqlServer::start(product);
    let stage = Stage::on_server(product, &server.url()).await;
    let process = stage.process_with(|handle| handle.claim_timeout(BUSY)).await;
    server.kill();
    let error = in_time(process.charge("k").run(stage.body("k", ""))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.is_retryable());
    assert_eq!(stage.ledger.executions("k"), 0);
    server.start_again();
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    let again = in_time(process.charge("k").run(stage.body("k", "first")));
    assert_eq!(again.await.unwrap(), "first");
}

/// G9: heartbeats fail while the server is away; the owner is still the owner when it is back.
async fn server_that_is_unreachable_for_a_while_costs_nothing_but_time(product: Product) {
    let server = SqlServer::start(product);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let stage = Stage::on_server(product, &proxy.before(&server.url())).await;
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op).await;
    proxy.refuse();
    proxy.cut();
    let before = process.faults.calls(Verb::Renew);
    let failed = || process.faults.calls(Verb::Renew) > before + 2;
    until("heartbeats have failed", failed).await;
    proxy.accept();
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
    assert_eq!(in_time(call).await.unwrap(), "first");
}

/// G10: the connection breaks instead of an answer.
async fn lost_requests_and_replies_on_the_wire_run_the_body_once(product: Product) {
    let server = SqlServer::start(product);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let stage = Stage::on_server(product, &proxy.before(&server.url())).await;
    let process = stage.process().await;
    let statement = || next_statement(product);
    for number in 0..4 {
        let key = format!("k{number}");
        let before = proxy.counts();
        // The claim is the first statement of a call. Past it, the completion is.
        let body = async {
            if number >= 2 {
                if number == 2 {
                    proxy.drop_requests(statement());
                } else {
                    proxy.drop_replies(statement());
                }
            }
            stage.body(&key, "first").await
        };
        match number {
            0 => proxy.drop_requests(statement()),
            1 => proxy.drop_replies(statement()),
            _ => {}
        }
        let call = in_time(process.charge(&key).lease(TTL).run_with_outcome(body));
        assert_eq!(call.await.unwrap().value, "first");
        until("nothing is under way", || process.idem.in_flight() == 0).await;
        let counts = proxy.counts();
        let lost = counts.dropped_requests + counts.dropped_replies
            - before.dropped_requests
            - before.dropped_replies;
        assert_eq!(lost, 1, "{counts:?}");
        let replay =
            process.charge(&key).run_with_outcome(stage.body(&key, "other")).await.unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
        assert_eq!(stage.ledger.executions(&key), 1);
    }
}

/// G11: a record that cannot be read is an error for every caller, and stays as it is.
async fn unreadable_rows_fail_closed_and_stay(product: Product) {
    let server = SqlServer::builder(product).without_fsync().start();
    let url = server.url();
    let stage = Stage::on_server(product, &url).await;
    for harm in [
        "version = 2",
        "version = 0",
        "status = 'done'",
        "owner = 'x'",
        "fingerprint = substr(fingerprint, 2)",
        "payload = NULL",
        "payload = payload || 'x'",
        "codec = NULL",
        "codec = 'No Such Tag'",
        "finished_at = NULL",
        "failure = 'error'",
        "lease_ms = -1",
        "fence = -1",
        "size = NULL",
    ] {
        let process = stage.process().await;
        process.charge(harm).run(stage.body("k", "first")).await.unwrap();
        let key = stage.record_key(harm);
        let key =
            key.as_str().bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let of_key = match product {
            Product::Postgres => format!("WHERE key = convert_from('\\x{key}', 'UTF8')"),
            Product::MySql => format!("WHERE `key` = X'{key}'"),
        };
        query(&url, &format!("UPDATE idempotency_records SET {harm} {of_key}")).unwrap();
        let columns = match product {
            Product::Postgres => "r::text",
            Product::MySql => {
                "version, status, HEX(owner), fence, HEX(fingerprint), on_crash, lease_ms, ttl_ms, lease_until,
                 expires_at, finished_at, codec, HEX(payload), failure, HEX(message), size"
            }
        };
        let row = || {
            query(&url, &format!("SELECT {columns} FROM idempotency_records r {of_key}")).unwrap()
        };
        let before = row();
        for process in [process, stage.process().await] {
            let call =
                process.charge(harm).wait(PATIENCE).fail_open().run(stage.body("k", "again"));
            let error = in_time(call).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{harm}");
            assert_eq!(process.idem.in_flight(), 0);
        }
        assert_eq!(row(), before, "{harm}");
    }
    assert_eq!(stage.ledger.executions("k"), 14);
}

/// G11: a dead owner's record that a newer version wrote: its lease is no reason to take it over.
async fn processing_row_of_a_newer_version_is_never_taken_over(product: Product) {
    let server = SqlServer::builder(product).without_fsync().start();
    let stage = Stage::on_server(product, &server.url()).await;
    let lease = Duration::from_millis(50);
    stage.dead_owner("k", lease, CrashPolicy::Retry).await;
    server.query("UPDATE idempotency_records SET version = 2");
    tokio::time::sleep(lease * 3).await;
    let process = stage.process().await;
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "again"));
    assert_eq!(in_time(call).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(stage.ledger.executions("k"), 0);
}
