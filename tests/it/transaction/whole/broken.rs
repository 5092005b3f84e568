//! Connections and servers that go away under a transaction.

use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage};
use idem_runtime::{ErrorKind, Idempotency};
use sqlx::{MySql, Pool, Postgres};
use testkit::proxy::{FaultProxy, Loss};
use url::Url;

use super::super::stage::{Db, Failed, Stage};
use super::{Runs, deposit_once};
use crate::outbox::stage::{inside, pool};
use crate::stage::in_time;

/// Short, since some of these tests wait for it in vain.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

trait Server: Db {
    /// A statement that ends its own session.
    const KILL: &str;

    /// Whether it is certain that a transaction is rolled back whose connection breaks between its body and its commit. On MySQL a statement of the
    /// body's may have committed before.
    const IS_CERTAIN: bool;

    fn impatient(pool: Pool<Self>) -> SharedStorage;
}

impl Server for Postgres {
    const KILL: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
    const IS_CERTAIN: bool = true;

    fn impatient(pool: Pool<Self>) -> SharedStorage {
        let storage = PostgresStorage::builder().response_timeout(RESPONSE_TIMEOUT);
        SharedStorage::new(storage.build(pool).unwrap())
    }
}

impl Server for MySql {
    const KILL: &str = "KILL CONNECTION_ID()";
    const IS_CERTAIN: bool = false;

    fn impatient(pool: Pool<Self>) -> SharedStorage {
        let storage = MySqlStorage::builder().response_timeout(RESPONSE_TIMEOUT);
        SharedStorage::new(storage.build(pool).unwrap())
    }
}

/// A database that is reached through a proxy.
struct Behind<DB: Db> {
    stage: Stage<DB>,
    proxy: FaultProxy,
    pool: Pool<DB>,
    idem: Idempotency,
    runs: Runs,
}

impl<DB: Server> Behind<DB> {
    async fn new() -> Self {
        let stage = Stage::<DB>::new().await;
        let url = Url::parse(&stage.url).unwrap();
        let proxy = FaultProxy::start((url.host_str().unwrap(), url.port().unwrap()));
        let pool = pool::<DB>(&proxy.before(&stage.url)).await;
        let idem = Idempotency::new(DB::impatient(pool.clone())).unwrap();
        Self { stage, proxy, pool, idem, runs: Runs::default() }
    }

    /// A deposit whose first attempt meets what `harm` makes, before its call and behind it.
    async fn deposit(
        &self,
        key: &str,
        harm: impl AsyncFn(&mut DB::Connection, Moment) -> Result<(), Failed>,
    ) -> Result<i64, Failed> {
        let before = self.runs.count();
        let paid = self.idem.transaction(&self.pool, async |mut tx| {
            let is_first = self.runs.next() == before + 1;
            if is_first {
                harm(inside(&mut tx), Moment::BeforeTheCall).await?;
            }
            let balance = deposit_once::<DB>(&self.idem, &mut tx, key).await?;
            if is_first {
                harm(inside(&mut tx), Moment::BeforeTheCommit).await?;
            }
            Ok(balance)
        });
        in_time(paid).await
    }

    /// Likewise. Where it is not certain that nothing has happened, the caller is told, and calls again.
    async fn deposit_or_tell(
        &self,
        key: &str,
        harm: impl AsyncFn(&mut DB::Connection, Moment) -> Result<(), Failed>,
        is_certain: bool,
    ) -> i64 {
        let paid = self.deposit(key, harm).await;
        if is_certain {
            return paid.unwrap();
        }
        let error = paid.unwrap_err().ours();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
        self.deposit(key, async |_, _| Ok(())).await.unwrap()
    }

    async fn state(&self) -> (i64, i64) {
        (self.stage.balance().await, self.stage.records().await)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    BeforeTheCall,
    BeforeTheCommit,
}

fn commits() -> Loss {
    Loss::next(1).of_requests_with("COMMIT")
}

/// The body hears of it, or the call, or the commit.
async fn a_session_that_is_ended_is_begun_again<DB: Server>(behind: Behind<DB>) {
    let mut deposits = 0;
    for ends in [Moment::BeforeTheCall, Moment::BeforeTheCommit] {
        for hears in [true, false] {
            let harm = async |connection: &mut DB::Connection, now: Moment| {
                if now != ends {
                    return Ok(());
                }
                let killed = DB::run(connection, DB::KILL.to_owned()).await;
                if hears { Ok(killed?) } else { Ok(()) }
            };
            let runs = behind.runs.count();
            deposits += 1;
            let key = deposits.to_string();
            let is_certain = hears || ends == Moment::BeforeTheCall || DB::IS_CERTAIN;
            let balance = behind.deposit_or_tell(&key, harm, is_certain).await;
            assert_eq!(balance, deposits * 100, "{ends:?} {hears}");
            assert_eq!(behind.runs.count(), runs + 2, "{ends:?} {hears}");
            assert_eq!(behind.state().await, (deposits * 100, deposits), "{ends:?} {hears}");
        }
    }
}

/// The server has the first attempt open until it notices, and with it the key.
async fn a_connection_that_is_cut_is_begun_again<DB: Server>(behind: Behind<DB>) {
    for (number, cuts) in [(1, Moment::BeforeTheCall), (2, Moment::BeforeTheCommit)] {
        let harm = async |_: &mut DB::Connection, now: Moment| {
            if now == cuts {
                behind.proxy.cut();
            }
            Ok(())
        };
        let is_certain = cuts == Moment::BeforeTheCall || DB::IS_CERTAIN;
        let balance = behind.deposit_or_tell(&number.to_string(), harm, is_certain).await;
        assert_eq!(balance, number * 100, "{cuts:?}");
        assert_eq!(behind.state().await, (number * 100, number), "{cuts:?}");
    }
    assert_eq!(behind.runs.count(), 4);
}

async fn a_commit_whose_reply_is_lost_is_not_made_twice<DB: Server>(behind: Behind<DB>) {
    let lost = async |_: &mut DB::Connection, now: Moment| {
        if now == Moment::BeforeTheCommit {
            behind.proxy.drop_replies(commits());
        }
        Ok(())
    };
    assert_eq!(behind.deposit("1", lost).await.unwrap(), 100);
    assert_eq!((behind.runs.count(), behind.state().await), (1, (100, 1)));
    assert_eq!(behind.proxy.counts().dropped_replies, 1);
}

async fn a_commit_that_never_arrived_is_made_again<DB: Server>(behind: Behind<DB>) {
    let lost = async |_: &mut DB::Connection, now: Moment| {
        if now == Moment::BeforeTheCommit {
            behind.proxy.drop_requests(commits());
        }
        Ok(())
    };
    assert_eq!(behind.deposit("1", lost).await.unwrap(), 100);
    assert_eq!((behind.runs.count(), behind.state().await), (2, (100, 1)));
    assert_eq!(behind.proxy.counts().dropped_requests, 1);
}

/// The body may have done more than its call, so only its caller may do all of it again. The call tells then.
async fn a_commit_whose_outcome_is_unknown_is_the_callers_to_repeat<DB: Server>(
    behind: Behind<DB>,
) {
    let lost = async |_: &mut DB::Connection, now: Moment| {
        if now == Moment::BeforeTheCommit {
            behind.proxy.drop_requests(commits().hanging());
        }
        Ok(())
    };
    let error = behind.deposit("1", lost).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    assert!(error.is_retryable());
    assert_eq!((behind.runs.count(), behind.state().await), (1, (0, 0)));
    behind.proxy.cut();
    // Until the server has noticed that the first connection is gone, the key is not free.
    assert_eq!(behind.deposit("1", async |_, _| Ok(())).await.unwrap(), 100);
    assert_eq!(behind.state().await, (100, 1));
}

async fn a_commit_that_may_have_arrived_is_told_by_the_next_call<DB: Server>(behind: Behind<DB>) {
    // What the storage looks at before its first claim it has looked at then.
    behind.deposit("0", async |_, _| Ok(())).await.unwrap();
    behind.proxy.cut();
    let lost = async |_: &mut DB::Connection, now: Moment| {
        if now == Moment::BeforeTheCommit {
            behind.proxy.drop_replies(commits());
            behind.proxy.refuse();
        }
        Ok(())
    };
    let error = in_time(behind.deposit("1", lost)).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    behind.proxy.heal();
    let runs = behind.runs.count();
    assert_eq!(behind.deposit("1", async |_, _| Ok(())).await.unwrap(), 200);
    assert_eq!((behind.runs.count(), behind.state().await), (runs + 1, (200, 2)));
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                use crate::transaction::whole::broken::{Behind, $name};

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    $name::<sqlx::Postgres>(Behind::new().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_mysql() {
                    $name::<sqlx::MySql>(Behind::new().await).await;
                }
            })*
        }
    };
}

on_every_server!(
    a_session_that_is_ended_is_begun_again,
    a_connection_that_is_cut_is_begun_again,
    a_commit_whose_reply_is_lost_is_not_made_twice,
    a_commit_that_never_arrived_is_made_again,
    a_commit_whose_outcome_is_unknown_is_the_callers_to_repeat,
    a_commit_that_may_have_arrived_is_told_by_the_next_call,
);
