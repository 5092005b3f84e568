//! MySQL and MariaDB: one server, whose defaults change between the settings.

use futures_util::future::{BoxFuture, FutureExt};
use idem_runtime::storage::{MySqlStorage, SharedStorage, StorageError};
use sqlx::{MySql, MySqlPool};
use testkit::sql::{Product, SqlServer};

use super::callers::Callers;
use super::database::{EFFECTS, Options, Setting, Sql, play};
use super::matrix::judge;
use crate::docs::rights::LeastRights;

impl Sql for MySql {
    fn on_pool(pool: MySqlPool, options: &Options) -> Result<SharedStorage, StorageError> {
        Ok(SharedStorage::new(builder(options).build(pool)?))
    }

    fn at(
        url: String,
        options: Options,
    ) -> BoxFuture<'static, Result<SharedStorage, StorageError>> {
        async move { Ok(SharedStorage::new(builder(&options).connect(url).await?)) }.boxed()
    }
}

fn builder(options: &Options) -> idem_runtime::storage::sql::MySqlBuilder {
    let builder = MySqlStorage::builder().connection_timeout(crate::stage::BUSY);
    match options.schema {
        Some(database) => builder.database(database),
        None => builder,
    }
}

/// What sessions begin with, and what that was before.
const DEFAULTS: &[(&str, &str, &str)] = &[
    (
        "serializable",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ),
    (
        "read committed",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ),
    ("autocommit off", "SET GLOBAL autocommit = 0", "SET GLOBAL autocommit = 1"),
    (
        "ANSI_QUOTES",
        "SET GLOBAL sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
        "SET GLOBAL sql_mode = DEFAULT",
    ),
    (
        "strict modes",
        "SET GLOBAL sql_mode = 'TRADITIONAL,ONLY_FULL_GROUP_BY'",
        "SET GLOBAL sql_mode = DEFAULT",
    ),
    ("lax modes", "SET GLOBAL sql_mode = ''", "SET GLOBAL sql_mode = DEFAULT"),
    ("time zone with summers", "SET GLOBAL time_zone = '-05:00'", "SET GLOBAL time_zone = DEFAULT"),
    (
        "transactions of others locked out",
        "SET GLOBAL innodb_lock_wait_timeout = 1",
        "SET GLOBAL innodb_lock_wait_timeout = DEFAULT",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_is_right_or_refuses_in_every_setting() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let user = LeastRights::at(Product::MySql, server.new_database()).await;
    let run = |statement: &str| {
        let ran = testkit::sql::query(&user.admin, statement);
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    };
    run(EFFECTS);
    run("GRANT SELECT, INSERT ON effects TO app");
    let database = user.admin.rsplit('/').next().unwrap();
    let plain = |name| Setting::new(name, &user.admin, &user.app);
    let mut rows = Vec::new();

    rows.push(play::<MySql>(plain("least rights, repeatable read")).await);
    rows.push(play::<MySql>(Setting { connections: 1, ..plain("pool of one") }).await);
    rows.push(play::<MySql>(Setting { callers: Callers::Two, ..plain("two runtimes") }).await);
    rows.push(play::<MySql>(Setting { callers: Callers::Frozen, ..plain("frozen runtime") }).await);
    for (name, on, off) in DEFAULTS {
        run(on);
        rows.push(play::<MySql>(plain(name)).await);
        run(off);
    }
    run("SET GLOBAL read_only = 1");
    rows.push(play::<MySql>(plain("read-only server").refused("read-only")).await);
    run("SET GLOBAL read_only = 0");

    // The records in another database than the pool's.
    run("CREATE DATABASE once");
    let options = Options { schema: Some("once"), ..Options::default() };
    builder(&options).connect(&user.admin).await.unwrap().migrate().await.unwrap();
    let elsewhere = Setting::new("database by the builder", &user.admin, &user.admin);
    rows.push(play::<MySql>(Setting { options, ..elsewhere }).await);

    run("CREATE USER sealed IDENTIFIED BY 'password' REQUIRE SSL");
    run(&format!("GRANT ALL ON {database}.* TO sealed"));
    run("CREATE USER reader IDENTIFIED BY 'password'");
    run(&format!("GRANT SELECT ON {database}.* TO reader"));
    let signed_in = |user: &str, url: &str| url.replacen("app:", &format!("{user}:"), 1);
    let sealed = Setting::new("encrypted only", &user.admin, &signed_in("sealed", &user.app));
    rows.push(play::<MySql>(sealed.refused("does not accept the user name or the password")).await);
    let reader = Setting::new("read-only role", &user.admin, &signed_in("reader", &user.app));
    rows.push(play::<MySql>(reader.refused("UPDATE")).await);
    judge("MySQL", &rows);
}
