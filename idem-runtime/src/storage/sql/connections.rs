//! The own connections of a storage or a relay.
//!
//! They use the options of the application's pool, hooks included, and are independent of it:
//! bodies that hold all connections of that pool, leave transactions open or aborted on them, or
//! change their settings, do not affect these. They are opened and used on the
//! [driver](crate::driver) only, since a socket stops with the runtime that it was opened on.
//!
//! sqlx's pool connects and runs the application's hooks. Then the connection is detached from it,
//! since sqlx offers no settings beside the application's hook, and pings the server after every
//! use.
//!
//! | share | for | connections that it leaves to others |
//! |---|---|---|
//! | [`Claims`](Share::Claims) | claims, which may wait for locks, and reads | two |
//! | [`Outcomes`](Share::Outcomes) | completions and releases | one |
//! | [`Renewals`](Share::Renewals) | renewals: what keeps leases never waits for anything else | none |

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database, Error, Pool};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::driver;
use crate::storage::{StorageError, StorageErrorKind};

/// How long a connection may take by default: less than the claim timeout of a call.
pub const PATIENCE: Duration = Duration::from_millis(2_500);

/// How long the first connection may take: no call waits for it.
pub(crate) const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that was idle for longer is pinged before it is used.
const FRESH: Duration = Duration::from_secs(5);

/// How the connections of a database are opened.
pub type Address<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Which connections a statement may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "not public API")]
pub enum Share {
    /// Claims, which may wait for locks, and reads.
    Claims,
    /// Completions and releases.
    Outcomes,
    /// Renewals, which never wait for the others.
    Renewals,
}

/// Connections, opened when they are needed.
pub struct Connections<DB: Database> {
    options: PoolOptions<DB>,
    address: Box<dyn Fn() -> Address<DB> + Send + Sync>,
    /// Connects. It keeps no connection.
    connector: OnceLock<Pool<DB>>,
    idle: Mutex<Vec<Idle<DB::Connection>>>,
    claims: Semaphore,
    writes: Semaphore,
    all: Semaphore,
}

struct Idle<C> {
    connection: C,
    opened: Instant,
    since: Instant,
}

/// A connection in use. Dropping it closes it, since it may be in the middle of a statement.
pub struct Lent<'a, DB: Database> {
    /// The connection itself.
    pub connection: DB::Connection,
    /// Only the application's hooks have used it.
    pub is_new: bool,
    opened: Instant,
    home: &'a Connections<DB>,
    _permits: [Option<SemaphorePermit<'a>>; 3],
}

impl<DB: Database> Connections<DB> {
    /// At most `most` connections with these options. `address` is evaluated whenever one is
    /// opened, and none is waited for longer than `patience`.
    pub fn new(
        options: PoolOptions<DB>,
        most: u32,
        patience: Duration,
        address: impl Fn() -> Address<DB> + Send + Sync + 'static,
    ) -> Self {
        let most = most.max(1);
        let permits = |left: u32| Semaphore::new(most.saturating_sub(left).max(1) as usize);
        Self {
            options: options
                .min_connections(0)
                .max_connections(most)
                .acquire_timeout(patience.max(FIRST_PATIENCE)),
            address: Box::new(address),
            connector: OnceLock::new(),
            idle: Mutex::default(),
            claims: permits(2),
            writes: permits(1),
            all: permits(0),
        }
    }

    /// A connection, within `patience`. Call it on the driver.
    ///
    /// # Errors
    ///
    /// [`Error::PoolTimedOut`] where there is none in time, and what connecting says.
    pub async fn acquire_within(
        &self,
        share: Share,
        patience: Duration,
    ) -> Result<Lent<'_, DB>, Error> {
        let acquired = timeout(patience, self.acquire_patiently(share)).await;
        acquired.unwrap_or(Err(Error::PoolTimedOut))
    }

    async fn acquire_patiently(&self, share: Share) -> Result<Lent<'_, DB>, Error> {
        let closed = |_| Error::PoolClosed;
        let claims = match share {
            Share::Claims => Some(self.claims.acquire().await.map_err(closed)?),
            Share::Outcomes | Share::Renewals => None,
        };
        let writes = match share {
            Share::Claims | Share::Outcomes => Some(self.writes.acquire().await.map_err(closed)?),
            Share::Renewals => None,
        };
        let all = Some(self.all.acquire().await.map_err(closed)?);
        let lent = |connection, opened, is_new| Lent {
            connection,
            is_new,
            opened,
            home: self,
            _permits: [claims, writes, all],
        };
        while let Some(mut idle) = self.pop() {
            if idle.since.elapsed() < FRESH || idle.connection.ping().await.is_ok() {
                return Ok(lent(idle.connection, idle.opened, false));
            }
        }
        Ok(lent(self.connect().await?, Instant::now(), true))
    }

    fn pop(&self) -> Option<Idle<DB::Connection>> {
        self.idle.lock().pop()
    }

    async fn connect(&self) -> Result<DB::Connection, Error> {
        let connector =
            self.connector.get_or_init(|| self.options.clone().connect_lazy_with((self.address)()));
        connector.set_connect_options((self.address)());
        Ok(connector.acquire().await?.detach())
    }

    /// Closes the idle connections, after another one broke: a restart of the server breaks all of
    /// them.
    pub fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }
}

impl<DB: Database> Lent<'_, DB> {
    /// Returns the connection.
    pub fn give_back(self) {
        let Self { connection, opened, home, .. } = self;
        let now = Instant::now();
        let outlived = |since: Instant, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_duration_since(since) > limit)
        };
        let is_old = |opened| outlived(opened, home.options.get_max_lifetime());
        let mut idle = home.idle.lock();
        if !is_old(opened) {
            idle.push(Idle { connection, opened, since: now });
        }
        // Last in, first out, so that surplus connections reach their idle timeout.
        let limit = home.options.get_idle_timeout();
        let outlived: Vec<_> = idle
            .extract_if(.., |idle| is_old(idle.opened) || outlived(idle.since, limit))
            .collect();
        drop(idle);
        drop(outlived);
    }
}

impl<DB: Database> fmt::Debug for Lent<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("is_new", &self.is_new).finish_non_exhaustive()
    }
}

impl<DB: Database> fmt::Debug for Connections<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Runs `task` on the driver, and waits for its result for at most `limit`. The task continues when
/// its caller is dropped.
pub(crate) async fn on_driver<T: Send + 'static>(
    limit: Duration,
    task: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    let unanswered = |message| StorageError::new(StorageErrorKind::Indeterminate, message);
    match timeout(limit, driver::spawn(task)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(unanswered("the database task was interrupted").with_source(error)),
        Err(_) => Err(unanswered("the database did not answer in time")),
    }
}

/// The address of a pool, which the application may change, as when a password expires.
pub fn address_of<DB: Database>(pool: Pool<DB>) -> impl Fn() -> Address<DB> + Send + Sync + 'static
where
    Address<DB>: Clone,
{
    move || Arc::unwrap_or_clone(pool.connect_options())
}
