//! Postgres: one server, whose databases and users have the settings.

use std::fs;

use futures_util::future::{BoxFuture, FutureExt};
use idem_runtime::storage::{PostgresStorage, SharedStorage, StorageError};
use sqlx::{PgPool, Postgres};
use tempfile::TempDir;
use testkit::sql::{PgBouncer, Product, SqlServer, query};

use super::callers::Callers;
use super::database::{EFFECTS, Options, Setting, Sql, play};
use super::matrix::{Expected, judge};
use crate::docs::rights::LeastRights;

impl Sql for Postgres {
    fn on_pool(pool: PgPool, options: &Options) -> Result<SharedStorage, StorageError> {
        Ok(SharedStorage::new(builder(options).build(pool)?))
    }

    fn at(
        url: String,
        options: Options,
    ) -> BoxFuture<'static, Result<SharedStorage, StorageError>> {
        async move { Ok(SharedStorage::new(builder(&options).connect(url).await?)) }.boxed()
    }
}

fn builder(options: &Options) -> idem_runtime::storage::sql::PostgresBuilder {
    let builder = PostgresStorage::builder()
        .connection_timeout(crate::stage::BUSY)
        .prepared_statements(!options.is_pooled);
    match options.schema {
        Some(schema) => builder.schema(schema),
        None => builder,
    }
}

/// Who is let in: `sealed` with encryption alone, which no client of these tests has.
const LOGINS: &str = "hostssl all sealed all scram-sha-256\n\
                      host all sealed all reject\n\
                      host all all all scram-sha-256\n";

/// A database with tables, and the users of docs/operating.md.
async fn database(server: &SqlServer) -> LeastRights {
    let user = LeastRights::at(Product::Postgres, server.new_database()).await;
    run(&user.migrator, EFFECTS);
    run(&user.migrator, "GRANT SELECT, INSERT ON effects TO app");
    user
}

fn run(url: &str, statement: &str) {
    query(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// A database whose sessions begin with this setting.
async fn with_default(server: &SqlServer, setting: &str) -> LeastRights {
    let user = database(server).await;
    let name = user.admin.rsplit('/').next().unwrap();
    run(&user.admin, &format!("ALTER DATABASE {name} SET {setting}"));
    user
}

/// The address with another user.
fn signed_in(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    format!("{scheme}://{user}:password@{}", rest.split_once('@').unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_right_or_refuses_in_every_setting() {
    let dir = TempDir::new().unwrap();
    let logins = dir.path().join("pg_hba.conf");
    fs::write(&logins, LOGINS).unwrap();
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(dir.path(), open).unwrap();
    let server = SqlServer::builder(Product::Postgres)
        .without_fsync()
        .setting("hba_file", &logins.to_string_lossy())
        .start();
    let mut settings = Vec::new();

    let least = database(&server).await;
    let plain = |name| Setting::new(name, &least.admin, &least.app);
    settings.push(plain("least rights"));
    settings.push(Setting { connections: 1, ..plain("pool of one") });
    settings.push(Setting { callers: Callers::Two, ..plain("two runtimes") });
    settings.push(Setting { callers: Callers::Frozen, ..plain("frozen runtime") });
    for (name, setting) in [
        ("repeatable read", "default_transaction_isolation = 'repeatable read'"),
        ("serializable", "default_transaction_isolation = 'serializable'"),
        ("old strings and bytes", "standard_conforming_strings = off"),
        ("bytes as escapes", "bytea_output = 'escape'"),
        ("time zone with summers", "timezone = 'America/New_York'"),
        ("commits that do not wait", "synchronous_commit = off"),
    ] {
        let user = with_default(&server, setting).await;
        settings.push(Setting::new(name, &user.admin, &user.app));
    }
    let user = with_default(&server, "default_transaction_read_only = on").await;
    settings
        .push(Setting::new("read-only by default", &user.admin, &user.app).refused("read-only"));

    // A schema of its own: by the builder, and by the sessions' path.
    let elsewhere = server.new_database();
    run(&elsewhere, "CREATE SCHEMA once");
    let storage = PostgresStorage::builder().schema("once").connect(&elsewhere).await.unwrap();
    storage.migrate().await.unwrap();
    run(&elsewhere, EFFECTS);
    let options = Options { schema: Some("once"), ..Options::default() };
    settings.push(Setting {
        options,
        outbox: None,
        ..Setting::new("schema by the builder", &elsewhere, &elsewhere)
    });
    let user = server.new_database();
    let name = user.rsplit('/').next().unwrap();
    run(&user, &format!("CREATE SCHEMA once; ALTER DATABASE {name} SET search_path = once"));
    PostgresStorage::connect(&user).await.unwrap().migrate().await.unwrap();
    idempotency::outbox::Outbox::new(PgPool::connect(&user).await.unwrap())
        .migrate()
        .await
        .unwrap();
    run(&user, EFFECTS);
    settings.push(Setting::new("schema by the search path", &user, &user));

    for (name, lines, is_pooled) in [
        ("PgBouncer, sessions", "pool_mode = session\n", false),
        ("PgBouncer, transactions", "pool_mode = transaction\n", true),
    ] {
        let admin = server.new_database();
        PostgresStorage::connect(&admin).await.unwrap().migrate().await.unwrap();
        idempotency::outbox::Outbox::new(PgPool::connect(&admin).await.unwrap())
            .migrate()
            .await
            .unwrap();
        run(&admin, EFFECTS);
        let bouncer = Box::leak(Box::new(PgBouncer::with_settings(&server, 20, lines)));
        let database = admin.rsplit('/').next().unwrap();
        let url = format!("{}/{database}", bouncer.url().rsplit_once('/').unwrap().0);
        let options = Options { is_pooled, ..Options::default() };
        // Its relay prepares statements, and such a pooler loses them.
        let outbox = is_pooled.then_some(Expected::Refused("")).or(Some(Expected::Green));
        settings.push(Setting { options, outbox, ..Setting::new(name, &admin, &url) });
    }

    let user = database(&server).await;
    run(&user.admin, "CREATE ROLE sealed LOGIN PASSWORD 'password'");
    let sealed = signed_in(&user.admin, "sealed");
    settings.push(Setting::new("encrypted only", &user.admin, &sealed).refused("encrypted"));
    run(&user.admin, "CREATE ROLE reader LOGIN PASSWORD 'password'");
    run(
        &user.migrator,
        "GRANT SELECT ON idempotency_records, idempotency_outbox, effects TO reader",
    );
    let reader = signed_in(&user.admin, "reader");
    settings.push(Setting::new("read-only role", &user.admin, &reader).refused("UPDATE"));

    let mut rows = Vec::new();
    for setting in settings {
        rows.push(play::<Postgres>(setting).await);
    }
    judge("Postgres", &rows);
}
