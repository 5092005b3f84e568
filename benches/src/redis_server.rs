//! Fresh calls and replays on Redis, against the bare commands on the same client, and against what most hand-written code does.

use idempotency::Idempotency;
use testkit::redis::RedisServer;
use tokio::runtime::Runtime;

use crate::callers::{Attribute, Caller, Handle};
use crate::contest::Comparison;
use crate::load::drive;
use crate::payload::Pool;
use crate::placement::Apart;
use crate::redis_subjects::{Afternoon, BareClaim, BareCommands};
use crate::report::Row;
use crate::sampling::{Sampling, Subject};
use crate::server_side::{PerCall, per_call};
use crate::{duplicates, wakeups};

/// So many jobs are replayed over and over.
const REPLAYED: usize = 8192;

/// Starts a server that keeps nothing on disk, and measures everything there is to measure on it.
pub(crate) fn measure(
    sampling: &mut Sampling<'_>,
    runtime: &Runtime,
    rounds: usize,
) -> anyhow::Result<Vec<Row>> {
    let server = RedisServer::start();
    let idem = runtime.block_on(Idempotency::connect(&server.url()))?;
    let client = redis::Client::open(server.url())?;
    let bare = runtime.block_on(client.get_multiplexed_async_connection())?;
    let script = server.command(&["SCRIPT", "LOAD", BareCommands::SCRIPT]);
    let bench = Bench {
        attribute: Attribute(idem.clone()),
        handle: Handle(idem.clone()),
        bare: BareCommands::new(bare.clone(), &script),
        claim: BareClaim(bare.clone()),
        afternoon: Afternoon(bare),
        server,
    };

    let mut rows = Vec::new();
    for callers in [1, 64, 512] {
        let _apart = (callers == 1).then(|| Apart::keep(vec![bench.server.pid()]));
        rows.extend(bench.fresh(sampling, callers));
        rows.extend(bench.replay(sampling, callers));
    }
    rows.push(duplicates::row(runtime, "redis", &idem, rounds)?);
    rows.push(wakeups::row(runtime, &bench.server.url(), &idem, rounds)?);
    rows.push(bench.record(runtime)?);
    Ok(rows)
}

struct Bench {
    server: RedisServer,
    attribute: Attribute,
    handle: Handle,
    bare: BareCommands,
    claim: BareClaim,
    afternoon: Afternoon,
}

impl Bench {
    fn fresh(&self, sampling: &mut Sampling<'_>, callers: usize) -> Vec<Row> {
        let mut subjects = [
            self.fresh_calls(&self.attribute),
            self.fresh_calls(&self.handle),
            self.fresh_calls(&self.bare),
            self.fresh_calls(&self.afternoon),
        ];
        let samples = sampling.contest("redis", "fresh", callers, &mut subjects);
        let compare = |limit, limit_is, at_least| {
            let comparison =
                Comparison { scenario: "fresh", subject: 0, limit, limit_is, at_least };
            comparison.row("redis", callers, &samples)
        };
        let mut rows = vec![
            compare(2, "bare SET NX GET PX + EVALSHA", promised(callers)),
            compare(3, "afternoon: GET, SET NX, SET", (callers == 64).then_some(1.3)),
            compare(1, "through the handle", Some(0.97)),
        ];
        self.look_at_server(&mut rows[0], 2.0, sampling.runtime, &mut subjects);
        rows
    }

    fn replay(&self, sampling: &mut Sampling<'_>, callers: usize) -> Vec<Row> {
        self.flush();
        let mut subjects = [
            replays(&self.attribute),
            replays(&self.handle),
            replays(&self.claim),
            replays(&self.afternoon),
        ];
        for subject in &mut subjects {
            // The first one makes what is replayed.
            subject(sampling.runtime, 64, REPLAYED);
        }
        let samples = sampling.contest("redis", "replay", callers, &mut subjects);
        let compare = |limit, limit_is, at_least| {
            let comparison =
                Comparison { scenario: "replay", subject: 0, limit, limit_is, at_least };
            comparison.row("redis", callers, &samples)
        };
        let mut rows = vec![
            compare(2, "bare SET NX GET PX", promised(callers)),
            compare(3, "afternoon: GET", None),
            compare(1, "through the handle", Some(0.97)),
        ];
        self.look_at_server(&mut rows[0], 1.0, sampling.runtime, &mut subjects);
        rows
    }

    /// Adds what calls cost the server, beside what the bare commands do.
    fn look_at_server(
        &self,
        row: &mut Row,
        promised: f64,
        runtime: &Runtime,
        subjects: &mut [Subject<'_>; 4],
    ) {
        let callers = row.callers;
        let mut cost = |subject: usize| -> PerCall {
            let load = || drop(subjects[subject](runtime, callers, REPLAYED));
            per_call(&self.server, REPLAYED, load)
        };
        let (ours, bare) = (cost(0), cost(2));
        row.commands_per_op = Some(ours.commands);
        row.remark(&format!("server CPU {:.1} µs, limit {:.1} µs", ours.cpu_us, bare.cpu_us));
        // Completions at the same time share a command.
        let kept = ours.commands < promised + 0.005;
        row.promise(&format!("commands ≤ {promised}"), kept);
    }

    /// Bytes that the server takes for a finished record.
    fn record(&self, runtime: &Runtime) -> anyhow::Result<Row> {
        self.flush();
        let used = || -> anyhow::Result<u64> {
            Ok(self.server.info("memory").get("used_memory").map_or("", String::as_str).parse()?)
        };
        let before = used()?;
        let failed = replays(&self.attribute)(runtime, 64, REPLAYED).failed;
        anyhow::ensure!(failed == 0, "{failed} calls failed");
        let bytes = used()?.saturating_sub(before) / REPLAYED as u64;
        let note = "used_memory, key and 256 B result included".to_owned();
        Ok(Row { bytes: Some(bytes), note, ..Row::new("redis", "stored record", 1) })
    }

    /// Calls that find nothing of an earlier sample.
    fn fresh_calls<'a>(&'a self, caller: &'a impl Caller) -> Subject<'a> {
        let mut pool = Pool::default();
        Box::new(move |runtime, callers, calls| {
            self.flush();
            let pool = pool.of(calls);
            runtime.block_on(drive(callers, calls, |turns| caller.run(pool.clone(), turns)))
        })
    }

    fn flush(&self) {
        self.server.command(&["FLUSHALL", "SYNC"]);
    }
}

/// Calls of the same jobs over and over.
fn replays(caller: &impl Caller) -> Subject<'_> {
    let pool = Pool::default().of(REPLAYED);
    Box::new(move |runtime, callers, calls| {
        runtime.block_on(drive(callers, calls, |turns| caller.run(pool.clone(), turns)))
    })
}

/// The least share of the bare commands' throughput: a single caller's latency is at most 1.1 times theirs.
fn promised(callers: usize) -> Option<f64> {
    match callers {
        1 => Some(1.0 / 1.1),
        64 => Some(0.9),
        _ => None,
    }
}
