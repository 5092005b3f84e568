//! The connections that a storage or a relay has for itself.
//!
//! They are made with the options of the application's pool, hooks included, and beside it: whatever bodies and others do with that pool,
//! hold all of its connections, leave transactions open or aborted on them, or change their settings, does not reach these. They are opened and
//! used on the [driver](crate::driver) alone, since a socket stands still with the runtime that it was opened on.
//!
//! sqlx's pool connects, and runs the application's hooks; then a connection is taken out of it, since sqlx has no place for settings
//! beside the application's hook, and asks the server after every use whether it is still there.
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

/// How long a connection may take unless the builder says otherwise: less than callers have patience before their body runs.
pub const PATIENCE: Duration = Duration::from_millis(2_500);

/// How long the first connection may take, for which no call waits.
pub(crate) const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that was idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(5);

/// How the connections of a database are opened.
pub type Address<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Which of the connections a statement may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A connection that is in use. It is closed when it is dropped: in the middle of something nobody else could use it.
pub struct Lent<'a, DB: Database> {
    /// The connection itself.
    pub connection: DB::Connection,
    /// Nothing has been sent on it but by the application's hooks.
    pub is_new: bool,
    opened: Instant,
    home: &'a Connections<DB>,
    _permits: [Option<SemaphorePermit<'a>>; 3],
}

impl<DB: Database> Connections<DB> {
    /// At most `most` connections with these options, to the address that there is when one is opened. None of them is waited for longer
    /// than `patience`.
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

    /// Closes the connections that nobody uses: another one broke, as a server's restart breaks all of them.
    pub fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }
}

impl<DB: Database> Lent<'_, DB> {
    /// Makes it available to others.
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
        // The last that were given back are the first to be taken, so that those beyond what is needed grow old.
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

/// Runs `task` on the driver, and waits no longer than `limit` for what comes of it. It goes on when its caller goes away.
pub(crate) async fn on_driver<T: Send + 'static>(
    limit: Duration,
    task: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    let unanswered = |message| StorageError::new(StorageErrorKind::Indeterminate, message);
    match timeout(limit, driver::spawn(task)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(unanswered("the work on the database broke off").with_source(error)),
        Err(_) => Err(unanswered("the database did not answer in time")),
    }
}

/// The address of a pool, which the application may change: a password that expires.
pub fn address_of<DB: Database>(pool: Pool<DB>) -> impl Fn() -> Address<DB> + Send + Sync + 'static
where
    Address<DB>: Clone,
{
    move || Arc::unwrap_or_clone(pool.connect_options())
}
