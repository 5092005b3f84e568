//! What is said of a commit whose reply is lost, beside what the tables show: whatever the transaction did, wherever its records are.

use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, OwnerId};
use idem_runtime::storage::{
    Claim, MySqlStorage, PostgresStorage, SharedStorage, Storage, StorageErrorKind,
};
use idem_runtime::transaction::TransactionConnection;
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySql, Pool, Postgres};
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{Product, SqlServer};
use url::Url;

use super::stage::{Db, Failed, Stage, Tx};
use crate::outbox::stage::{inside, pool};
use crate::stage::{PATIENCE, in_time, until};

/// Long enough for a busy machine; where nothing is certain, it ends at once.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// A database with a server, and what its transactions are asked for.
trait Server: Db {
    const PRODUCT: Product;

    /// What only the statement has in it that looks for the outcome.
    const LOOK: &str;

    /// Whether a transaction is recognized that left no record.
    const NEEDS_NO_RECORD: bool;

    /// An error that the server may send in place of an answer to `COMMIT` when it has written the commit, and may not have.
    fn errors() -> Vec<Vec<u8>>;

    /// A storage in a table of its own, which is made.
    fn table<'a>(pool: &'a Pool<Self>, table: &'a str) -> BoxFuture<'a, SharedStorage>;
}

fn postgres_error(severity: &str, code: &str) -> Vec<u8> {
    let fields = format!(
        "S{severity}\0V{severity}\0C{code}\0Mcould not write to file \"pg_wal/xlogtemp\"\0\0"
    );
    let length = u32::try_from(fields.len() + 4).unwrap();
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

fn mysql_error(number: u16) -> Vec<u8> {
    let rest = [&[0xff][..], &number.to_le_bytes(), b"#HY000Error during COMMIT"].concat();
    let length = u32::try_from(rest.len()).unwrap();
    [&length.to_le_bytes()[..3], &[1], &rest].concat()
}

impl Server for Postgres {
    const PRODUCT: Product = Product::Postgres;
    const LOOK: &str = "pg_xact_status";
    const NEEDS_NO_RECORD: bool = true;

    fn errors() -> Vec<Vec<u8>> {
        let told = [
            ("PANIC", "53100"),
            ("PANIC", "58030"),
            ("FATAL", "XX000"),
            ("FATAL", "57P01"),
            ("ERROR", "40003"),
        ];
        told.map(|(severity, code)| postgres_error(severity, code)).to_vec()
    }

    fn table<'a>(pool: &'a Pool<Self>, table: &'a str) -> BoxFuture<'a, SharedStorage> {
        Box::pin(async move {
            let builder = PostgresStorage::builder().table(table);
            let storage = builder.response_timeout(RESPONSE_TIMEOUT).build(pool.clone()).unwrap();
            storage.migrate().await.unwrap();
            SharedStorage::new(storage)
        })
    }
}

impl Server for MySql {
    const PRODUCT: Product = Product::MySql;
    const LOOK: &str = "FOR UPDATE NOWAIT";
    const NEEDS_NO_RECORD: bool = false;

    fn errors() -> Vec<Vec<u8>> {
        [1026, 1053, 1180, 1317, 1598, 1969, 4031].map(mysql_error).to_vec()
    }

    fn table<'a>(pool: &'a Pool<Self>, table: &'a str) -> BoxFuture<'a, SharedStorage> {
        Box::pin(async move {
            let builder = MySqlStorage::builder().table(table);
            let storage = builder.response_timeout(RESPONSE_TIMEOUT).build(pool.clone()).unwrap();
            storage.migrate().await.unwrap();
            SharedStorage::new(storage)
        })
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Nothing but the application's own statement.
    NoCall,
    Completed,
    /// A failure frees the key, and is committed all the same.
    Failed,
    /// `store_if` says that the result is not kept.
    NotStored,
    CompletedThenReleased,
    ReleasedThenCompleted,
    /// The first call's record is in one table, the second one's in another.
    TwoTables,
    /// The handle that commits has its records in another table.
    OtherHandle,
    /// … in another database of the server.
    OtherDatabase,
    /// A call is rolled back to a savepoint after another one.
    RolledBackAfterAnother,
    /// The only call is rolled back to a savepoint.
    RolledBack,
    /// The call's record is deleted by a statement of the application's.
    Deleted,
    /// A body calls another operation, and is not recorded itself.
    Nested,
}

impl Shape {
    const ALL: [Self; 13] = [
        Self::NoCall,
        Self::Completed,
        Self::Failed,
        Self::NotStored,
        Self::CompletedThenReleased,
        Self::ReleasedThenCompleted,
        Self::TwoTables,
        Self::OtherHandle,
        Self::OtherDatabase,
        Self::RolledBackAfterAnother,
        Self::RolledBack,
        Self::Deleted,
        Self::Nested,
    ];

    /// Whether a record of it is committed with it.
    fn leaves_a_record(self) -> bool {
        !matches!(self, Self::NoCall | Self::RolledBack | Self::Deleted)
    }
}

/// What happens to its `COMMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    ReplyLost,
    RequestLost,
}

fn commits() -> Loss {
    Loss::next(1).of_requests_with("COMMIT")
}

struct Scene<DB: Server> {
    stage: Stage<DB>,
    proxy: FaultProxy,
    pool: Pool<DB>,
    idem: Idempotency,
    other_table: Idempotency,
    other_database: Idempotency,
    _other: Stage<DB>,
}

impl<DB: Server> Scene<DB>
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    async fn new() -> Self {
        let (stage, other) = (Stage::<DB>::new().await, Stage::<DB>::new().await);
        let url = Url::parse(&stage.url).unwrap();
        let proxy = FaultProxy::start((url.host_str().unwrap(), url.port().unwrap()));
        let pool = pool::<DB>(&proxy.before(&stage.url)).await;
        let elsewhere = crate::outbox::stage::pool::<DB>(&proxy.before(&other.url)).await;
        let handle = async |pool: &Pool<DB>, table: &str| {
            Idempotency::new(DB::table(pool, table).await).unwrap()
        };
        let idem = handle(&pool, "idempotency_records").await;
        let other_table = handle(&pool, "other_records").await;
        let other_database = handle(&elsewhere, "idempotency_records").await;
        let mut connection = stage.pool.acquire().await.unwrap();
        let effects = "CREATE TABLE effects (id VARCHAR(80) NOT NULL)".to_owned();
        DB::run(&mut connection, effects).await.unwrap();
        drop(connection);
        Self { stage, proxy, pool, idem, other_table, other_database, _other: other }
    }

    async fn effects(&self, id: &str) -> i64 {
        self.stage.number(&format!("SELECT count(*) FROM effects WHERE id = '{id}'")).await
    }

    /// Does what the shape says, and the effect `id`, in the transaction.
    async fn fill(&self, tx: &mut Tx<'_, DB>, shape: Shape, id: &str) -> Result<(), Failed> {
        let key = |name: &str| format!("{name}:{id}");
        if shape == Shape::NoCall {
            return Ok(effect::<DB>(inside(tx), id).await?);
        }
        if matches!(shape, Shape::CompletedThenReleased | Shape::RolledBackAfterAnother) {
            completed(&self.idem, tx, key("before")).await?;
        }
        if shape == Shape::ReleasedThenCompleted {
            not_stored(&self.idem, tx, key("before")).await?;
        }
        if matches!(shape, Shape::RolledBackAfterAnother | Shape::RolledBack) {
            DB::run(inside(tx), "SAVEPOINT the_applications_own".to_owned()).await?;
        }
        let operation = self.idem.in_transaction(tx).operation("effect").key(key("call"));
        match shape {
            Shape::Failed => {
                let operation = operation.retry_if(|_: &Failed| true);
                let body = async |tx: &mut DB::Connection| {
                    effect::<DB>(tx, id).await?;
                    Err::<i64, _>(Failed::Declined)
                };
                assert!(matches!(operation.run(body).await, Err(Failed::Declined)));
            }
            Shape::NotStored | Shape::CompletedThenReleased => {
                let operation = operation.store_if(|_: &i64| false);
                operation.run(async |tx| one_effect::<DB>(tx, id).await).await?;
            }
            Shape::Nested => {
                let operation = operation.store_if(|_: &i64| false);
                let body = async |tx: &mut DB::Connection| {
                    completed_on(&self.idem, tx, key("nested")).await?;
                    one_effect::<DB>(tx, id).await
                };
                operation.run(body).await?;
            }
            _ => {
                operation.run(async |tx| one_effect::<DB>(tx, id).await).await?;
            }
        }
        match shape {
            Shape::TwoTables => completed(&self.other_table, tx, key("other")).await?,
            Shape::RolledBackAfterAnother | Shape::RolledBack => {
                let back = "ROLLBACK TO SAVEPOINT the_applications_own".to_owned();
                DB::run(inside(tx), back).await?;
                effect::<DB>(inside(tx), id).await?;
            }
            Shape::Deleted => {
                let delete = "DELETE FROM idempotency_records".to_owned();
                DB::run(inside(tx), delete).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn commits_with(&self, shape: Shape) -> &Idempotency {
        match shape {
            Shape::OtherHandle => &self.other_table,
            Shape::OtherDatabase => &self.other_database,
            _ => &self.idem,
        }
    }

    /// What is said of a commit, and that the table shows nothing else.
    async fn told(&self, shape: Shape, harm: Harm, id: &str) -> Result<(), Error> {
        let mut tx = self.pool.begin().await.unwrap();
        self.fill(&mut tx, shape, id).await.unwrap();
        match harm {
            Harm::ReplyLost => self.proxy.drop_replies(commits()),
            Harm::RequestLost => self.proxy.drop_requests(commits()),
        }
        let told = in_time(self.commits_with(shape).commit(tx)).await;
        let happened = self.effects(id).await;
        assert_eq!(happened, i64::from(harm == Harm::ReplyLost), "{shape:?}, {harm:?}");
        match &told {
            Ok(()) => assert_eq!(happened, 1, "{shape:?}, {harm:?}"),
            Err(error) => {
                assert!(error.is_retryable(), "{shape:?}, {harm:?}: {error:?}");
                if error.kind() == ErrorKind::Storage {
                    assert_eq!(happened, 0, "{shape:?}, {harm:?}: {error:?}");
                } else {
                    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{shape:?}, {harm:?}");
                }
            }
        }
        told
    }
}

async fn effect<DB: Db>(connection: &mut DB::Connection, id: &str) -> sqlx::Result<()> {
    DB::run(connection, format!("INSERT INTO effects VALUES ('{id}')")).await
}

async fn one_effect<DB: Db>(connection: &mut DB::Connection, id: &str) -> Result<i64, Failed> {
    effect::<DB>(connection, id).await?;
    Ok(1)
}

async fn completed<DB: Db>(
    idem: &Idempotency,
    tx: &mut Tx<'_, DB>,
    key: String,
) -> Result<(), Failed> {
    let operation = idem.in_transaction(tx).operation("another").key(key);
    operation.run(async |_| Ok::<_, Failed>(1)).await.map(drop)
}

async fn completed_on<C: TransactionConnection>(
    idem: &Idempotency,
    connection: &mut C,
    key: String,
) -> Result<(), Failed> {
    let operation = idem.in_transaction(connection).operation("another").key(key);
    operation.run(async |_| Ok::<_, Failed>(1)).await.map(drop)
}

async fn not_stored<DB: Db>(
    idem: &Idempotency,
    tx: &mut Tx<'_, DB>,
    key: String,
) -> Result<(), Failed> {
    let operation = idem.in_transaction(tx).operation("another").key(key);
    let operation = operation.store_if(|_: &i64| false);
    operation.run(async |_| Ok::<_, Failed>(1)).await.map(drop)
}

async fn what_is_said_is_what_the_tables_show<DB: Server>()
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let scene = Scene::<DB>::new().await;
    for shape in Shape::ALL {
        for harm in [Harm::ReplyLost, Harm::RequestLost] {
            let told = scene.told(shape, harm, &format!("{shape:?}:{harm:?}")).await;
            let is_certain = DB::NEEDS_NO_RECORD || shape.leaves_a_record();
            let kind = told.as_ref().err().map(Error::kind);
            let expected = match harm {
                _ if !is_certain => Some(ErrorKind::Indeterminate),
                Harm::ReplyLost => None,
                Harm::RequestLost => Some(ErrorKind::Storage),
            };
            assert_eq!(kind, expected, "{shape:?}, {harm:?}: {told:?}");
        }
    }
    let counts = scene.proxy.counts();
    let each = Shape::ALL.len();
    assert_eq!((counts.dropped_replies, counts.dropped_requests), (each, each));
}

/// An error in place of the reply is no proof that nothing was committed.
async fn an_error_in_place_of_the_reply_is_not_believed<DB: Server>()
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let scene = Scene::<DB>::new().await;
    for (number, error) in DB::errors().into_iter().enumerate() {
        let id = format!("error:{number}");
        let mut tx = scene.pool.begin().await.unwrap();
        scene.fill(&mut tx, Shape::Completed, &id).await.unwrap();
        scene.proxy.drop_replies(commits().answered_with(error.clone()));
        let told = in_time(scene.idem.commit(tx)).await;
        assert!(told.is_ok(), "{:?}: {told:?}", String::from_utf8_lossy(&error));
        assert_eq!(scene.effects(&id).await, 1);
        // A verb by itself that is answered so may have been applied.
        let storage = DB::table(&scene.pool, &format!("records_{number}")).await;
        let claim = |key: &str| Claim {
            key: RecordKey::from_stored(key),
            owner: OwnerId::random(),
            fingerprint: Fingerprinter::new("effect").finish(),
            lease: PATIENCE,
            ttl: PATIENCE,
            on_crash: CrashPolicy::Retry,
        };
        // What it looks at before its first claim it has looked at then.
        in_time(storage.claim(&claim("before"))).await.unwrap();
        let loss = Loss::next(1).of_requests_with(&id).answered_with(error.clone());
        scene.proxy.drop_replies(loss);
        let refused = in_time(storage.claim(&claim(&id))).await.unwrap_err();
        assert_eq!(refused.kind(), StorageErrorKind::Indeterminate, "{refused:?}");
    }
    assert_eq!(scene.proxy.counts().dropped_replies, 2 * DB::errors().len());
}

/// "When an error is retryable, begin a new transaction and call again": each operation has one effect at the end, whatever is lost.
async fn who_follows_the_docs_has_one_effect<DB: Server>()
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let scene = Scene::<DB>::new().await;
    for shape in Shape::ALL.into_iter().filter(|shape| shape.leaves_a_record()) {
        let id = format!("{shape:?}");
        let mut harms = [Harm::RequestLost, Harm::RequestLost, Harm::ReplyLost].into_iter();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut tx = scene.pool.begin().await.unwrap();
            let filled = scene.fill(&mut tx, shape, &id).await;
            match harms.next() {
                Some(Harm::ReplyLost) => scene.proxy.drop_replies(commits()),
                Some(Harm::RequestLost) => scene.proxy.drop_requests(commits()),
                None => {}
            }
            let told = match filled {
                Ok(()) => in_time(scene.commits_with(shape).commit(tx)).await,
                Err(failed) => Err(failed.ours()),
            };
            match told {
                Ok(()) => break,
                Err(error) => assert!(error.is_retryable(), "{shape:?}: {error:?}"),
            }
        }
        assert_eq!((attempts, scene.effects(&id).await), (3, 1), "{shape:?}");
    }
}

/// The handle's storage is on another server than the transaction: what is not there says nothing.
async fn of_another_server_nothing_is_concluded<DB: Server>()
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let scene = Scene::<DB>::new().await;
    let server = SqlServer::builder(DB::PRODUCT).without_fsync().start();
    let elsewhere = pool::<DB>(&server.url()).await;
    let other = Idempotency::new(DB::table(&elsewhere, "idempotency_records").await).unwrap();
    for harm in [Harm::ReplyLost, Harm::RequestLost] {
        let id = format!("{harm:?}");
        let mut tx = scene.pool.begin().await.unwrap();
        scene.fill(&mut tx, Shape::Completed, &id).await.unwrap();
        match harm {
            Harm::ReplyLost => scene.proxy.drop_replies(commits()),
            Harm::RequestLost => scene.proxy.drop_requests(commits()),
        }
        let error = in_time(other.commit(tx)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{harm:?}: {error:?}");
    }
}

/// The server dies before its reply is heard, and is there again while the outcome is looked for.
async fn a_server_that_was_started_again_still_knows<DB: Server>()
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let mut server = SqlServer::start(DB::PRODUCT);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let pool = pool::<DB>(&proxy.before(&server.url())).await;
    let idem = Idempotency::new(DB::table(&pool, "idempotency_records").await).unwrap();
    server.query("CREATE TABLE effects (id VARCHAR(80) NOT NULL)");
    for shape in [Shape::Completed, Shape::NotStored] {
        let id = format!("{shape:?}");
        let mut tx = pool.begin().await.unwrap();
        let operation = idem.in_transaction(&mut tx).operation("effect").key(id.clone());
        let operation = operation.store_if(move |_: &i64| shape == Shape::Completed);
        operation.run(async |tx| one_effect::<DB>(tx, &id).await).await.unwrap();
        proxy.drop_replies(commits());
        // Until it was started again nobody is told what became of it, on the connections that are open neither.
        proxy.drop_requests(Loss::next(usize::MAX).of_requests_with(DB::LOOK));
        proxy.refuse();
        let lost = proxy.counts().dropped_replies;
        let again = async {
            until("it is committed", || proxy.counts().dropped_replies > lost).await;
            tokio::task::block_in_place(|| {
                server.kill();
                server.start_again();
            });
            proxy.heal();
        };
        let (told, ()) = tokio::join!(in_time(idem.commit(tx)), again);
        assert_eq!(server.query(&format!("SELECT count(*) FROM effects WHERE id = '{id}'")), "1");
        assert!(told.is_ok(), "{shape:?}: {told:?}");
    }
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                use crate::transaction::ambiguous;

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    ambiguous::$name::<sqlx::Postgres>().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_mysql() {
                    ambiguous::$name::<sqlx::MySql>().await;
                }
            })*
        }
    };
}

on_every_server!(
    what_is_said_is_what_the_tables_show,
    an_error_in_place_of_the_reply_is_not_believed,
    who_follows_the_docs_has_one_effect,
    of_another_server_nothing_is_concluded,
    a_server_that_was_started_again_still_knows,
);
