//! Those that do the job on Redis, each on one multiplexed connection.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};

use crate::callers::Caller;
use crate::load::Turns;
use crate::payload::{Arguments, Pool, Receipt, TTL};

/// The commands of a fresh call with nothing around them: no hashing, no encoding, the same bytes every time.
pub(crate) struct BareCommands {
    connection: MultiplexedConnection,
    script: Arc<str>,
    processing: Arc<[u8]>,
    finished: Arc<[u8]>,
}

impl BareCommands {
    /// The least script that lets only the owner complete.
    pub(crate) const SCRIPT: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0";

    pub(crate) fn new(connection: MultiplexedConnection, script: &str) -> Self {
        // As long as our records are.
        let (processing, finished) = ([b'p'; 76].into(), [b'f'; 330].into());
        Self { connection, script: script.into(), processing, finished }
    }
}

impl Caller for BareCommands {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let Self { connection, script, processing, finished } = self;
        let (mut connection, script) = (connection.clone(), Arc::clone(script));
        let (processing, finished) = (Arc::clone(processing), Arc::clone(finished));
        async move {
            while let Some(number) = turns.next() {
                let key = bare_key(pool.get(number));
                turns.check(connection.send_packed_command(&claim(&key, &processing)).await);
                let mut complete = cmd("EVALSHA");
                complete.arg(&*script).arg(1).arg(&key).arg(&*processing).arg(&*finished);
                complete.arg(ttl_millis());
                turns.check(connection.send_packed_command(&complete).await);
            }
            turns
        }
    }
}

/// The one command of a replay.
pub(crate) struct BareClaim(pub(crate) MultiplexedConnection);

impl Caller for BareClaim {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let mut connection = self.0.clone();
        async move {
            // What is found is as long as a finished record of ours.
            let finished = [b'f'; 330];
            while let Some(number) = turns.next() {
                let key = bare_key(pool.get(number));
                turns.check(connection.send_packed_command(&claim(&key, &finished)).await);
            }
            turns
        }
    }
}

/// What is written in an afternoon: look, lock, run, store. Nothing fences the last step.
pub(crate) struct Afternoon(pub(crate) MultiplexedConnection);

impl Caller for Afternoon {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let mut connection = self.0.clone();
        async move {
            while let Some(number) = turns.next() {
                turns.check(afternoon(&mut connection, pool.get(number)).await);
            }
            turns
        }
    }
}

async fn afternoon(
    connection: &mut MultiplexedConnection,
    arguments: &Arguments,
) -> anyhow::Result<Receipt> {
    let key = format!("afternoon:{}", arguments.order);
    let stored: Option<Vec<u8>> = cmd("GET").arg(&key).query_async(connection).await?;
    if let Some(stored) = stored {
        return Ok(serde_json::from_slice(&stored)?);
    }
    let mut lock = cmd("SET");
    lock.arg(&key).arg("processing").arg("NX").arg("PX").arg(30_000);
    let locked: Option<String> = lock.query_async(connection).await?;
    anyhow::ensure!(locked.is_some(), "somebody else is at it");
    let receipt = arguments.receipt();
    let mut store = cmd("SET");
    store.arg(&key).arg(serde_json::to_vec(&receipt)?).arg("PX").arg(ttl_millis());
    let _: () = store.query_async(connection).await?;
    Ok(receipt)
}

fn claim(key: &str, value: &[u8]) -> Cmd {
    let mut claim = cmd("SET");
    claim.arg(key).arg(value).arg("NX").arg("GET").arg("PX").arg(ttl_millis());
    claim
}

/// As long as our keys are.
fn bare_key(arguments: &Arguments) -> String {
    format!("bare:default::payment:{}", arguments.order)
}

fn ttl_millis() -> usize {
    usize::try_from(TTL.as_millis()).unwrap_or(usize::MAX)
}
