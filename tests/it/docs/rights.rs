//! Users with the rights that docs/operating.md lists, and no others.

use std::time::Duration;

use idem_runtime::record::Timestamp;
use idem_runtime::storage::{RedisStorage, SharedStorage, Storage, StorageWarning};
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened};
use idempotency::outbox::Outbox;
use sqlx::error::DatabaseError;
use sqlx::{MySql, Postgres};
use testkit::redis::RedisServer;
use testkit::sql::{Product, query, shared};

use super::pages;
use crate::outbox::recorder::Recorder;
use crate::outbox::stage::{Db, Running, pool, quick};
use crate::stage::{self, in_time};

const PAGE: &str = "docs/operating.md";

/// A database with tables, made by the statements of the page.
pub(crate) struct LeastRights {
    pub(crate) product: Product,
    /// The database's address for whoever may do everything.
    pub(crate) admin: String,
    /// … for the user who owns the tables.
    pub(crate) migrator: String,
    /// … for the application.
    pub(crate) app: String,
}

impl LeastRights {
    /// On the server that tests share.
    pub(crate) async fn on(product: Product) -> Self {
        Self::at(product, shared(product).new_database()).await
    }

    /// In a new database, whose address is that of whoever may do everything.
    pub(crate) async fn at(product: Product, admin: String) -> Self {
        let (users, grants) = match product {
            Product::Postgres => (0, 1),
            Product::MySql => (2, 3),
        };
        let as_user = |user: &str| {
            let (scheme, rest) = admin.split_once("://").unwrap();
            format!("{scheme}://{user}:password@{}", rest.split_once('@').unwrap().1)
        };
        let (migrator, app) = (as_user("migrator"), as_user("app"));
        run(&admin, &pages::block(PAGE, "Rights", "sql", users));
        match product {
            Product::Postgres => {
                stage::postgres(&migrator).await.migrate().await.unwrap();
                make_outbox::<Postgres>(&migrator).await;
            }
            Product::MySql => {
                stage::mysql(&migrator).await.migrate().await.unwrap();
                make_outbox::<MySql>(&migrator).await;
            }
        }
        let grants = pages::block(PAGE, "Rights", "sql", grants);
        run(if product == Product::Postgres { &migrator } else { &admin }, &grants);
        Self { product, admin, migrator, app }
    }

    async fn storage(&self) -> SharedStorage {
        match self.product {
            Product::Postgres => SharedStorage::new(stage::postgres(&self.app).await),
            Product::MySql => SharedStorage::new(stage::mysql(&self.app).await),
        }
    }
}

/// Every process may call `migrate()` at its start, whatever it may do otherwise.
async fn tables_that_are_up_to_date_need_no_right_to_make_them(product: Product) {
    let user = LeastRights::on(product).await;
    match product {
        Product::Postgres => {
            stage::postgres(&user.app).await.migrate().await.unwrap();
            make_outbox::<Postgres>(&user.app).await;
        }
        Product::MySql => {
            stage::mysql(&user.app).await.migrate().await.unwrap();
            make_outbox::<MySql>(&user.app).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_up_to_date_need_no_right_to_make_them_on_postgres() {
    tables_that_are_up_to_date_need_no_right_to_make_them(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_up_to_date_need_no_right_to_make_them_on_mysql() {
    tables_that_are_up_to_date_need_no_right_to_make_them(Product::MySql).await;
}

async fn make_outbox<DB: Db>(url: &str) {
    Outbox::new(pool::<DB>(url).await).migrate().await.unwrap();
}

/// Runs statements. The users are the server's, which tests share, so another test may have made them.
fn run(url: &str, statements: &str) {
    for statement in statements.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        if let Err(error) = query(url, statement) {
            let code = error.as_database_error().and_then(DatabaseError::code);
            let code = code.unwrap_or_default().into_owned();
            let is_there =
                statement.starts_with("CREATE ") && ["42710", "23505", "HY000"].contains(&&*code);
            assert!(is_there, "{statement}: {error}");
        }
    }
}

/// A storage as the application has it. What is done to records here is done with other rights in the conformance tests of the storages.
struct AsApp<S> {
    storage: S,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
    expires_by_itself: bool,
}

impl<S: Storage> Harness for AsApp<S> {
    type Storage = S;

    fn storage(&self) -> &S {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        Timestamp::from_millis((self.now)())
    }

    async fn elapse(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn clock_is_exact(&self) -> bool {
        false
    }

    fn expires_by_itself(&self) -> bool {
        self.expires_by_itself
    }

    async fn second(&self) -> Opened<S> {
        Opened::Unsupported("what a user may is the same on every connection")
    }

    async fn reopen(self) -> Opened<Self> {
        Opened::Unsupported("what a user may is the same on every connection")
    }

    async fn inflict(&self, _harm: Harm<'_>) -> Inflicted {
        Inflicted::Unsupported("the user has no right to it")
    }
}

/// The rules for the application's user on Redis.
pub(crate) fn redis_rules() -> Vec<String> {
    let block = pages::block(PAGE, "Rights", "conf", 0);
    block.strip_prefix("user app ").unwrap().split_whitespace().map(str::to_owned).collect()
}

pub(super) async fn redis_app(line: &str) {
    let server = RedisServer::builder().config("user", line.strip_prefix("user ").unwrap()).start();
    let url = format!("redis://app:password@127.0.0.1:{}/", server.port());
    let storage = RedisStorage::connect(&url).await.unwrap();
    let warnings = storage.warnings().await.unwrap();
    let settings: Vec<_> = warnings.iter().map(StorageWarning::setting).collect();
    assert_eq!(settings, ["appendonly"]);
    let report = conformance::run(async || {
        let client = redis::Client::open(server.url()).unwrap();
        let now = move || {
            let mut connection = client.get_connection().unwrap();
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
            seconds * 1000 + micros / 1000
        };
        AsApp { storage: storage.clone(), now: Box::new(now), expires_by_itself: true }
    });
    report.await.assert_passed();
}

pub(super) async fn redis_relay(line: &str) {
    use idempotency::outbox::{Event, EventId, Publisher, RedisStreams};

    let server = RedisServer::builder().config("user", line.strip_prefix("user ").unwrap()).start();
    let url = format!("redis://relay:password@127.0.0.1:{}/", server.port());
    let event = Event::new(EventId::random(), "orders", "42", "{}");
    RedisStreams::connect(&url).unwrap().publish(&event).await.unwrap();
    assert_eq!(server.command(&["XLEN", "orders"]), "1");
}

const CLOCK: [&str; 2] = [
    "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
];

async fn conforms(user: &LeastRights) {
    // A storage each: the verbs of one are sent together, and then an answer may be that nobody knows.
    let report = conformance::run(async || {
        let storage = user.storage().await;
        let admin = user.admin.clone();
        let clock = CLOCK[usize::from(user.product == Product::MySql)];
        let now = move || query(&admin, clock).unwrap().parse().unwrap();
        AsApp { storage, now: Box::new(now), expires_by_itself: false }
    });
    report.await.assert_passed();
}

async fn publishes<DB: Db>(user: &LeastRights) {
    let pool = pool::<DB>(&user.app).await;
    let outbox = Outbox::new(pool.clone());
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, "orders", "42", &1).await.unwrap();
    tx.commit().await.unwrap();
    let broker = Recorder::new();
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    in_time(broker.until(1)).await;
    relay.stop().await;
    assert_eq!(query(&user.admin, "SELECT count(*) FROM idempotency_outbox").unwrap(), "0");
}

/// The statements that make the users: they make tables, and as nobody else.
pub(super) async fn postgres_users(_: &str) {
    let user = LeastRights::on(Product::Postgres).await;
    let error = query(&user.app, "CREATE TABLE mine (id int)").unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
}

pub(super) async fn postgres_grants(_: &str) {
    let user = LeastRights::on(Product::Postgres).await;
    conforms(&user).await;
    publishes::<Postgres>(&user).await;
}

pub(super) async fn mysql_users(_: &str) {
    let user = LeastRights::on(Product::MySql).await;
    let error = query(&user.app, "CREATE TABLE mine (id int)").unwrap_err();
    assert!(error.to_string().contains("denied"), "{error}");
}

pub(super) async fn mysql_grants(_: &str) {
    let user = LeastRights::on(Product::MySql).await;
    conforms(&user).await;
    publishes::<MySql>(&user).await;
}
