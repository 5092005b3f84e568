//! A process, and its clients that call until they are told how it ended.

use std::fmt;
use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::Watchers;
use idem_runtime::{Error, Idempotency, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{advance, sleep, timeout};

use super::network::Address;
use super::oracle::Kind;
use super::storage::Connection;
use super::world::{LEASE, RETENTION, SharedWorld, TICK};

/// Why a call has no value.
#[derive(Clone, Debug)]
pub enum Failed {
    /// The body of this number said no.
    Declined(u64),
    /// The body said to come again.
    Busy,
    /// The library's reason.
    Ours(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// What it is for.
    Own,
    /// Something else.
    Other,
}

/// A call that a client makes.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which one.
    pub number: u32,
    /// The key's number.
    pub key: usize,
    /// What for.
    pub used: Use,
    /// Whether it waits for another's result.
    pub waits: bool,
    /// When the client goes away.
    pub cancelled_after: Option<Duration>,
    /// How long the body takes.
    pub takes: Duration,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Which, and which life of it.
    pub address: Address,
    world: SharedWorld,
    runtime: Runtime,
    idem: Idempotency,
    /// It stands still until then.
    pub paused_until: u64,
    behind: Duration,
}

impl Process {
    /// Starts a process.
    ///
    /// # Errors
    ///
    /// When there is no runtime to be had.
    pub fn start(
        world: &SharedWorld,
        address: Address,
        watchers: Watchers,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let connection = Connection::new(world.clone(), address, watchers);
        let hears = world.clone();
        let idem = Idempotency::builder(connection)
            .lease(LEASE)
            .ttl(RETENTION)
            .on_unrecorded(move |event| hears.lock().unrecorded(address, event.key))
            .build()?;
        let world = world.clone();
        Ok(Self { address, world, runtime, idem, paused_until: 0, behind: Duration::ZERO })
    }

    /// It runs for a tick, unless it stands still. Afterwards its clock leaps, as after SIGCONT.
    pub fn run(&mut self, now: u64) {
        if now < self.paused_until {
            self.behind += TICK;
            return;
        }
        let behind = std::mem::take(&mut self.behind);
        self.runtime.block_on(async move {
            if !behind.is_zero() {
                advance(behind).await;
            }
            sleep(TICK).await;
        });
    }

    /// A client calls.
    pub fn call(&self, call: Call) {
        self.runtime.spawn(client(self.world.clone(), self.idem.clone(), self.address, call));
    }

    /// Calls under way, as the library sees it.
    pub fn in_flight(&self) -> usize {
        self.idem.in_flight()
    }

    /// It is gone at once. Its world has been told, so that nothing that is dropped here is heard.
    pub fn die(self) {
        self.runtime.shutdown_background();
    }
}

async fn client(world: SharedWorld, idem: Idempotency, from: Address, call: Call) {
    let mut cancelled_after = call.cancelled_after;
    loop {
        let attempt = attempt(&world, &idem, from, call);
        let ended = match cancelled_after.take() {
            Some(patience) => timeout(patience, attempt).await.ok(),
            None => Some(attempt.await),
        };
        if world.lock().told(from, call, ended.as_ref()) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn attempt(
    world: &SharedWorld,
    idem: &Idempotency,
    from: Address,
    call: Call,
) -> Result<Outcome<u64>, Failed> {
    let kind = Kind::of(call.key);
    let body = async {
        let number = world.lock().begins(from, call);
        sleep(call.takes).await;
        world.lock().ends(from, call, number);
        match kind {
            Kind::Error => Err(Failed::Declined(number)),
            Kind::Busy if number.is_multiple_of(2) => Err(Failed::Busy),
            _ => Ok(number),
        }
    };
    let park = kind == Kind::Parked;
    let on_crash = if park { CrashPolicy::Park } else { CrashPolicy::Retry };
    let operation = idem
        .operation("pay")
        .key(format!("k{}", call.key))
        .fingerprint(&(call.key, call.used == Use::Other))
        .on_crash(on_crash)
        .wait(if call.waits { Duration::from_millis(300) } else { Duration::ZERO });
    operation
        .retry_if(|failed: &Failed| matches!(failed, Failed::Busy))
        .run_with_outcome(body)
        .await
}
