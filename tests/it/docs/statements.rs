//! Statements, commands and settings in the text.

use idem_runtime::storage::SqliteStorage;
use testkit::sql::{Product, query, shared};

use super::cargo;
use super::pages::{self, spans};
use super::rights::LeastRights;
use crate::stage::Stage;

/// Where a statement or setting in the text is for.
#[derive(Clone, Copy)]
enum Scene {
    /// A database with the tables of records and outbox, and the roles of the page on rights.
    Postgres,
    /// A setting of a session.
    PostgresSetting,
    MySqlSetting,
    /// A line of the block for `PgBouncer`, which a test runs.
    Bouncer,
    /// A database with records, and a file to write to.
    Sqlite,
    /// A command, and the field of its answer that is looked at.
    Redis(&'static str),
}

const SCENES: &[(&str, Scene)] = &[
    ("ALTER ROLE app SET synchronous_commit = off", Scene::Postgres),
    ("ALTER TABLE idempotency_records SET (fillfactor = 30)", Scene::Postgres),
    ("INFO stats", Scene::Redis("evicted_keys")),
    (
        "SELECT count(*) FROM idempotency_records WHERE expires_at < extract(epoch FROM now()) * 1000",
        Scene::Postgres,
    ),
    ("SELECT count(*), min(enqueued_at) FROM idempotency_outbox", Scene::Postgres),
    (
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'idempotency_records'",
        Scene::Postgres,
    ),
    ("VACUUM INTO", Scene::Sqlite),
    ("ignore_startup_parameters = extra_float_digits", Scene::Bouncer),
    ("innodb_flush_log_at_trx_commit = 1", Scene::MySqlSetting),
    ("innodb_lock_wait_timeout = 0", Scene::MySqlSetting),
    ("sync_binlog = 0", Scene::MySqlSetting),
    ("sync_binlog = 1", Scene::MySqlSetting),
    ("synchronous_commit = off", Scene::PostgresSetting),
    ("synchronous_commit = on", Scene::PostgresSetting),
];

#[test]
fn every_statement_in_the_text_has_a_scene() {
    let missing: Vec<_> = spans()
        .into_iter()
        .filter(|span| !span.text.starts_with("cargo ") && scene_of(&span.text).is_none())
        .map(|span| format!("{}: {}", span.page, span.text))
        .collect();
    assert!(missing.is_empty(), "name a scene for these:\n{}", missing.join("\n"));
}

fn scene_of(text: &str) -> Option<Scene> {
    let (_, scene) = SCENES.iter().find(|(known, _)| *known == text)?;
    if matches!(scene, Scene::Bouncer) {
        let block = pages::block("docs/operating.md", "PgBouncer", "ini", 0);
        assert!(block.lines().any(|line| line == text), "{text} is not in:\n{block}");
    }
    Some(*scene)
}

#[test]
fn every_command_of_cargo_in_the_text_exists() {
    let commands: Vec<_> =
        spans().into_iter().filter(|span| span.text.starts_with("cargo ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        cargo::command_exists(&command.text);
    }
}

/// Those for a scene.
fn texts(wanted: impl Fn(Scene) -> bool) -> Vec<&'static str> {
    let texts = SCENES.iter().filter(|(_, scene)| wanted(*scene)).map(|(text, _)| *text);
    let texts: Vec<_> = texts.collect();
    assert!(!texts.is_empty());
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_for_postgres_run_where_records_and_outbox_are() {
    let user = LeastRights::on(Product::Postgres).await;
    for text in texts(|scene| matches!(scene, Scene::Postgres)) {
        query(&user.admin, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let fillfactor = "SELECT reloptions FROM pg_class WHERE relname = 'idempotency_records'";
    assert_eq!(query(&user.admin, fillfactor).unwrap(), "{fillfactor=30}");
    assert_eq!(query(&user.app, "SHOW synchronous_commit").unwrap(), "off");
    query(&user.admin, "ALTER ROLE app RESET synchronous_commit").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_databases_exist() {
    let postgres = shared(Product::Postgres).new_database();
    for text in texts(|scene| matches!(scene, Scene::PostgresSetting)) {
        query(&postgres, &format!("SET {text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let mysql = shared(Product::MySql).new_database();
    for text in texts(|scene| matches!(scene, Scene::MySqlSetting)) {
        // Whatever it is set to for the server, all tests live on that.
        let name = text.split(' ').next().unwrap();
        query(&mysql, &format!("SELECT @@{name}"))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_for_sqlite_run_where_records_are() {
    let stage = Stage::on_sqlite().await;
    let copy = stage.file("copy.db");
    let pool = sqlx::SqlitePool::connect(stage.url()).await.unwrap();
    for text in texts(|scene| matches!(scene, Scene::Sqlite)) {
        let statement = format!("{text} '{}'", copy.display());
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }
    SqliteStorage::connect(format!("sqlite://{}", copy.display())).await.unwrap();
}

#[test]
fn what_redis_tells_has_the_fields_that_are_watched() {
    for (text, scene) in SCENES {
        if let Scene::Redis(field) = scene {
            let words: Vec<_> = text.split(' ').collect();
            let answer = testkit::redis::shared().command(&words);
            assert!(answer.contains(&format!("{field}:0")), "{text}: {answer}");
        }
    }
}
