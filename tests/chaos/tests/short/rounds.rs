//! A round on every backend keeps the guarantees.

use std::time::Duration;

use idem_chaos::backend::Backend;
use idem_chaos::round::{Settings, run};
use idem_chaos::setup::Setup;

fn hold(backend: Backend) {
    let seed = fastrand::u64(..);
    let settings = Settings {
        length: Duration::from_secs(6),
        ..Settings::new(super::program(), backend, seed, 0)
    };
    let outcome = run(&mut Setup::start(backend), &settings);
    let repeat = format!("cargo xtask chaos --seed {seed} --only {backend} --round 0 --seconds 6");
    for violation in &outcome.verdict.violations {
        println!("{violation:?}\n{}", outcome.story.tell(&violation.key));
    }
    assert_eq!(outcome.verdict.violations, [], "{repeat}");
    assert!(outcome.faults.values().sum::<u64>() > 1, "hardly anything went wrong: {repeat}");
    assert!(outcome.verdict.operations > 30, "hardly a call: {repeat}: {:?}", outcome.verdict);
    assert!(outcome.verdict.executions > 10, "hardly a body: {repeat}: {:?}", outcome.verdict);
}

#[test]
fn redis_keeps_the_guarantees() {
    hold(Backend::Redis);
}

#[test]
fn redis_without_a_disk_loses_what_it_says() {
    hold(Backend::RedisVolatile);
}

#[test]
fn sentinel_loses_what_it_says() {
    hold(Backend::Sentinel);
}

#[test]
fn a_cluster_loses_what_it_says() {
    hold(Backend::Cluster);
}

#[test]
fn postgres_keeps_the_guarantees() {
    hold(Backend::Postgres);
}

#[test]
fn mysql_keeps_the_guarantees() {
    hold(Backend::MySql);
}

#[test]
fn sqlite_keeps_the_guarantees() {
    hold(Backend::Sqlite);
}
