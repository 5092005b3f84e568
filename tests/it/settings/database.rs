//! Databases: what every setting of one has, and the scenes that need its transactions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::storage::{SharedStorage, StorageError};
use idem_runtime::transaction::TransactionDatabase;
use idem_runtime::{ErrorKind, Idempotency};
use idempotency::outbox::{Outbox, OutboxError, OutboxErrorKind};
use sqlx::Pool;
use sqlx::pool::PoolOptions;
use testkit::proxy::{FaultProxy, Loss};
use tokio::time::timeout;

use super::callers::Callers;
use super::matrix::{Expected, Failed, Row, Verdict};
use super::scenes::{self, Ledger, Pair, verdict};
use crate::outbox::recorder::Recorder;
use crate::outbox::stage::{Db, Running, quick};

/// A database, as far as settings differ in it.
pub(super) trait Sql: Db + TransactionDatabase {
    /// A storage beside the application's pool.
    fn on_pool(pool: Pool<Self>, options: &Options) -> Result<SharedStorage, StorageError>;

    /// A storage at an address.
    fn at(url: String, options: Options)
    -> BoxFuture<'static, Result<SharedStorage, StorageError>>;
}

/// What the storage's builder is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// Or the database, where that is called so.
    pub(super) schema: Option<&'static str>,
    /// Statements are not prepared under names.
    pub(super) is_pooled: bool,
}

/// A setting of a database.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// The address for whoever may look at everything.
    pub(super) admin: String,
    /// The application's address.
    pub(super) url: String,
    /// Connections of the application's pool.
    pub(super) connections: u32,
    pub(super) options: Options,
    pub(super) callers: Callers,
    pub(super) expected: Expected,
    /// What has to come of the outbox, where that is something else; none where it is not there.
    pub(super) outbox: Option<Expected>,
}

impl Setting {
    pub(super) fn new(name: &'static str, admin: &str, url: &str) -> Self {
        Self {
            name,
            admin: admin.to_owned(),
            url: url.to_owned(),
            connections: 5,
            options: Options::default(),
            callers: Callers::One,
            expected: Expected::Green,
            outbox: Some(Expected::Green),
        }
    }

    /// The key of a scene: settings of one database share its tables.
    fn key(&self, scene: &str) -> String {
        format!("{scene}, {}", self.name)
    }

    pub(super) fn refused(self, words: &'static str) -> Self {
        let expected = Expected::Refused(words);
        Self { expected, outbox: Some(Expected::Refused("")), ..self }
    }
}

/// A setting that is open.
struct Open<DB: Sql> {
    setting: Setting,
    pool: Pool<DB>,
    pair: Pair,
    /// Before the server; none where there is no server.
    proxy: Option<Arc<FaultProxy>>,
}

fn pool<DB: Sql>(url: &str, connections: u32) -> Pool<DB> {
    let options = PoolOptions::<DB>::new().max_connections(connections);
    options.acquire_timeout(Duration::from_secs(10)).connect_lazy(url).unwrap()
}

impl<DB: Sql> Open<DB> {
    async fn new(setting: &Setting) -> Result<Self, Failed> {
        let authority = setting.url.split_once("://").unwrap().1.split('/').next().unwrap();
        let address = authority.rsplit('@').next().unwrap();
        let proxy = (DB::NAME != "SQLite").then(|| Arc::new(FaultProxy::start(address)));
        let url = match &proxy {
            Some(proxy) => proxy.before(&setting.url),
            None => setting.url.clone(),
        };
        let pool = pool::<DB>(&url, setting.connections);
        let here = DB::on_pool(pool.clone(), &setting.options)?;
        let there = DB::at(setting.url.clone(), setting.options.clone()).await?;
        let pair = Pair { here, there, ledger: Ledger::default() };
        Ok(Self { setting: setting.clone(), pool, pair, proxy })
    }

    /// A number that whoever may look at everything sees.
    async fn number(&self, sql: String) -> Result<i64, Failed> {
        let pool = pool::<DB>(&self.setting.admin, 1);
        let mut connection = pool.acquire().await?;
        let number = DB::number(&mut connection, sql).await?;
        drop(connection);
        pool.close().await;
        Ok(number)
    }

    async fn effects(&self, key: &str) -> Result<i64, Failed> {
        self.number(format!("SELECT count(*) FROM effects WHERE name = '{key}'")).await
    }
}

/// Plays all scenes in a setting.
pub(super) fn play<DB: Sql>(setting: Setting) -> BoxFuture<'static, Row> {
    Box::pin(play_all::<DB>(setting))
}

async fn play_all<DB: Sql>(setting: Setting) -> Row {
    let open = match Open::<DB>::new(&setting).await {
        Ok(open) => Arc::new(open),
        Err(failed) => {
            let cells = vec![("all", verdict(Err(failed), 0), setting.expected)];
            return Row { setting: setting.name, cells };
        }
    };
    let callers = setting.callers;
    let storage = Some(&open.pair.here);
    let mut cells = Vec::new();
    let expected = setting.expected;
    let (pair, ledger) = (&open.pair, &open.pair.ledger);
    macro_rules! simple {
        ($($scene:ident),*) => {$(
            let scene = |pair: Pair, key: String| async move { scenes::$scene(&pair, &key).await };
            let key = setting.key(stringify!($scene));
            let ended = callers.play(pair, storage, scene, &key).await;
            cells.push((stringify!($scene), verdict(ended, ledger.count(&key)), expected));
        )*};
    }
    simple!(fresh, duplicate, takeover);

    let scene = |open: Arc<Open<DB>>, key: String| async move { commit(&open, &key).await };
    let key = setting.key("commit");
    let ended = callers.play(&open, storage, scene, &key).await;
    let effects = open.effects(&key).await.map_or(0, |count| usize::try_from(count).unwrap());
    cells.push(("commit", verdict(ended, effects), expected));

    let mut row = Row { setting: setting.name, cells };
    match setting.outbox {
        Some(expected) => {
            let scene = |open: Arc<Open<DB>>, key: String| async move { outbox(&open, &key).await };
            let ended = callers.play(&open, storage, scene, &setting.key("outbox")).await;
            row.cell("outbox", verdict(ended, 0), expected);
        }
        None => row.cell("outbox", Verdict::Absent, Expected::Green),
    }
    row
}

/// A call in the application's own transaction, whose commit's answer is lost; and the same call again.
async fn commit<DB: Sql>(open: &Open<DB>, key: &str) -> Result<(), Failed> {
    let idem = Idempotency::new(open.pair.here.clone())?;
    let mut told = Vec::new();
    for attempt in 0..2 {
        let mut tx = open.pool.begin().await?;
        let operation = idem.in_transaction(&mut tx).operation("commit").key(key);
        let enter = format!("INSERT INTO effects VALUES ('{key}')");
        let body = async |tx: &mut DB::Connection| {
            DB::run(tx, enter).await?;
            Ok::<_, Failed>("done".to_owned())
        };
        if let Err(failed) = operation.run(body).await {
            drop(tx.rollback().await);
            return Err(failed);
        }
        if let (0, Some(proxy)) = (attempt, &open.proxy) {
            proxy.drop_replies(Loss::next(1).of_requests_with("COMMIT"));
        }
        match idem.commit(tx).await {
            Ok(()) => told.push(true),
            // What is not known is asked again.
            Err(error) if error.kind() == ErrorKind::Indeterminate => told.push(false),
            Err(error) => {
                let count = open.effects(key).await?;
                let text = format!("{count} effects, and the commit is said to be: {error}");
                return Err(Failed::Broken(text));
            }
        }
    }
    match open.effects(key).await? {
        1 => Ok(()),
        count => Err(Failed::Broken(format!("{count} effects in the transaction, told {told:?}"))),
    }
}

/// An event of a transaction that is committed, and one of a transaction that is not.
async fn outbox<DB: Sql>(open: &Open<DB>, topic: &str) -> Result<(), Failed> {
    let outbox = Outbox::new(open.pool.clone());
    let told = |error: OutboxError| match error.kind() {
        OutboxErrorKind::Configuration => Failed::Told(error.to_string()),
        _ => Failed::Broken(error.to_string()),
    };
    let broker = Recorder::new();
    let mut tx = open.pool.begin().await?;
    // What was not enqueued is rolled back with the rest of the transaction.
    let refused = |error: OutboxError| Failed::Told(error.to_string());
    outbox.enqueue(&mut tx, topic, "key", &2).await.map_err(refused)?;
    tx.rollback().await?;
    let mut tx = open.pool.begin().await?;
    outbox.enqueue(&mut tx, topic, "key", &1).await.map_err(refused)?;
    tx.commit().await?;
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    let left = format!("SELECT count(*) FROM idempotency_outbox WHERE topic = '{topic}'");
    let emptied = async {
        while open.number(left.clone()).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Failed>(())
    };
    let emptied = timeout(Duration::from_secs(15), emptied).await;
    relay.stop.cancel();
    if let Ok(ended) = relay.task.await {
        ended.map_err(told)?;
    }
    emptied.unwrap_or_else(|_| Err(Failed::Broken("an event stays in the table".to_owned())))?;
    let published = broker.taken().iter().filter(|event| event.topic == topic).count();
    // Another relay of this test may have had it.
    if published > 1 {
        return Err(Failed::Broken(format!("an event was published {published} times")));
    }
    Ok(())
}

/// The table of effects, for whoever may make one.
pub(super) const EFFECTS: &str = "CREATE TABLE effects (name varchar(100) NOT NULL)";
