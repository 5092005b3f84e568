//! Fresh calls and replays on databases whose commits are durable, against the same statements issued one for each verb through the same pool.
//!
//! What the same takes with statements that somebody wrote by hand for it stands beside them.
//!
//! Statements and commits per call stand beside the figures, and the time on the processor that a call costs client and server, which says
//! more than the clock where others use the machine or the disk is slow.
//!
//! The pool has sqlx's default size and does not try a connection before each use. Every fresh call has a key of its own, so that the table
//! grows as it does in earnest.

mod bare;
mod database;
mod mysql;
mod postgres;
mod sqlite;
mod statements;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use idempotency::Idempotency;
use tokio::runtime::Runtime;

use self::bare::{Bare, Fresh, Replay};
use self::database::Database;
use self::statements::sent;
use crate::callers::{Attribute, Caller};
use crate::contest::{Comparison, median};
use crate::load::{Sample, drive};
use crate::payload::Pool;
use crate::placement::Apart;
use crate::report::Row;
use crate::sampling::{Sampling, Subject};

/// Connections of the pool: sqlx's default.
const CONNECTIONS: u32 = 10;

/// So many jobs are replayed over and over.
const REPLAYED: usize = 2048;

/// Far from the numbers of fresh calls.
const REPLAYED_FROM: usize = 90_000_000;

/// Far from those, too.
const SEEN_FROM: usize = 80_000_000;

/// So many calls are counted.
const COUNTED: usize = 2048;

/// So many calls are made to see what their records take.
const RECORDS: usize = 8192;

/// The least ratios that were promised for 64 callers.
struct Promised {
    fresh: f64,
    replay: Option<f64>,
}

/// Starts the databases that are wanted, and measures what there is to measure on them.
pub(crate) fn measure(
    sampling: &mut Sampling<'_>,
    wants: impl Fn(&str) -> bool,
    wants_callers: impl Fn(usize) -> bool,
) -> anyhow::Result<Vec<Row>> {
    let callers: Vec<_> = [1, 8, 64, 512].into_iter().filter(|&it| wants_callers(it)).collect();
    let mut rows = Vec::new();
    if wants("postgres") {
        rows.extend(postgres::measure(sampling, &callers)?);
    }
    if wants("mysql") {
        rows.extend(mysql::measure(sampling, &callers)?);
    }
    if wants("sqlite") {
        rows.extend(sqlite::measure(sampling, &callers)?);
    }
    Ok(rows)
}

/// The statements about records that a fresh call sends.
fn statements(runtime: &Runtime, idem: &Idempotency) -> Vec<Arc<str>> {
    let attribute = Attribute(idem.clone());
    let call = |job| {
        let pool = Pool::starting_at(job, 1);
        runtime.block_on(drive(1, 1, |turns| attribute.run(pool.clone(), turns)))
    };
    // The first connects.
    call(SEEN_FROM);
    let mut texts = sent(|| drop(call(SEEN_FROM + 1)));
    texts.retain(|text| text.contains("idempotency_records"));
    texts
}

/// One database, with its table still empty.
struct Bench<S, H, D> {
    name: &'static str,
    attribute: Attribute,
    same: S,
    by_hand: H,
    database: D,
    promised: Promised,
    /// The first job that nobody has done yet.
    next: AtomicUsize,
}

impl<S: Bare, H: Bare, D: Database> Bench<S, H, D> {
    fn new(
        name: &'static str,
        idem: Idempotency,
        same: S,
        by_hand: H,
        database: D,
        promised: Promised,
    ) -> Self {
        let (attribute, next) = (Attribute(idem), AtomicUsize::new(0));
        Self { name, attribute, same, by_hand, database, promised, next }
    }

    fn measure(&self, sampling: &mut Sampling<'_>, callers: &[usize]) -> anyhow::Result<Vec<Row>> {
        let mut rows = vec![self.record(sampling.runtime)?];
        for &callers in callers {
            let (same, by_hand) = (Fresh(self.same.clone()), Fresh(self.by_hand.clone()));
            let mut subjects = [
                self.fresh_calls(&self.attribute),
                self.fresh_calls(&same),
                self.fresh_calls(&by_hand),
            ];
            rows.push(self.row(sampling, "fresh", callers, &mut subjects)?);
        }
        // What is replayed.
        let fresh = Fresh(self.same.clone());
        for mut first in [replays(&self.attribute), replays(&fresh)] {
            let made = first(sampling.runtime, 64, REPLAYED);
            anyhow::ensure!(made.failed == 0, "{} calls failed", made.failed);
        }
        let (same, by_hand) = (Replay(self.same.clone()), Replay(self.by_hand.clone()));
        let mut subjects = [replays(&self.attribute), replays(&same), replays(&by_hand)];
        for &callers in callers {
            rows.push(self.row(sampling, "replay", callers, &mut subjects)?);
        }
        Ok(rows)
    }

    /// Bytes that a record takes which was just finished, with everything that the database keeps beside it.
    fn record(&self, runtime: &Runtime) -> anyhow::Result<Row> {
        let made = self.fresh_calls(&self.attribute)(runtime, 64, RECORDS);
        anyhow::ensure!(made.failed == 0, "{} calls failed", made.failed);
        let bytes = self.database.bytes(runtime)? / RECORDS as u64;
        let note = format!("table and indexes after {RECORDS} calls, 256 B result included");
        Ok(Row { bytes: Some(bytes), note, ..Row::new(self.name, "stored record", 64) })
    }

    fn row(
        &self,
        sampling: &mut Sampling<'_>,
        scenario: &'static str,
        callers: usize,
        subjects: &mut [Subject<'_>; 3],
    ) -> anyhow::Result<Row> {
        let processes = self.database.processes();
        let _apart = (callers == 1 && !processes.is_empty()).then(|| Apart::keep(processes));
        let samples = sampling.contest(self.name, scenario, callers, subjects);
        let at_least = match (callers, scenario) {
            // A single caller's latency is at most 1.1 times theirs.
            (1, _) => Some(1.0 / 1.1),
            (64, "fresh") => Some(self.promised.fresh),
            (64, _) => self.promised.replay,
            _ => None,
        };
        let limit_is = "the same statements one by one";
        let comparison = Comparison { scenario, subject: 0, limit: 1, limit_is, at_least };
        let mut row = comparison.row(self.name, callers, &samples);
        let by_hand = median(samples[2].iter().map(Sample::per_second));
        let failed: usize = samples[2].iter().map(|sample| sample.failed).sum();
        anyhow::ensure!(failed == 0, "{failed} calls by hand failed");
        row.remark(&format!("by hand {by_hand:.0}/s"));
        let (ours, bare) = (
            self.cost(sampling.runtime, callers, &mut subjects[0])?,
            self.cost(sampling.runtime, callers, &mut subjects[1])?,
        );
        row.commands_per_op = Some(ours.statements);
        row.commits_per_op = Some(ours.commits);
        row.remark(&format!("its statements {:.2}, commits {:.2}", bare.statements, bare.commits));
        if bare.cpu_us > 0.0 {
            row.remark(&format!("server CPU {:.1} µs, limit {:.1} µs", ours.cpu_us, bare.cpu_us));
        }
        Ok(row)
    }

    /// The statements by hand against others in their place.
    fn instead(
        &self,
        sampling: &mut Sampling<'_>,
        scenario: &'static str,
        callers: usize,
        others: &impl Caller,
    ) -> Row {
        let fresh = Fresh(self.by_hand.clone());
        let mut subjects = [self.fresh_calls(others), self.fresh_calls(&fresh)];
        let samples = sampling.contest(self.name, scenario, callers, &mut subjects);
        let limit_is = "the same statements without it";
        let comparison = Comparison { scenario, subject: 0, limit: 1, limit_is, at_least: None };
        comparison.row(self.name, callers, &samples)
    }

    /// What calls cost the database.
    fn cost(
        &self,
        runtime: &Runtime,
        callers: usize,
        subject: &mut Subject<'_>,
    ) -> anyhow::Result<Cost> {
        let (commits, cpu) = (self.database.commits(runtime)?, self.database.cpu());
        let statements = sent(|| drop(subject(runtime, callers, COUNTED))).len();
        let cpu = self.database.cpu().saturating_sub(cpu);
        let commits = self.database.commits(runtime)? - commits;
        let [statements, commits] =
            [statements as u64, commits].map(|it| it as f64 / COUNTED as f64);
        Ok(Cost { statements, commits, cpu_us: cpu.as_secs_f64() * 1e6 / COUNTED as f64 })
    }

    /// Calls that nobody has made before.
    fn fresh_calls<'a>(&'a self, caller: &'a impl Caller) -> Subject<'a> {
        Box::new(move |runtime, callers, calls| {
            let first = self.next.fetch_add(calls, Ordering::Relaxed);
            let pool = Pool::starting_at(first, calls);
            runtime.block_on(drive(callers, calls, |turns| caller.run(pool.clone(), turns)))
        })
    }
}

/// What a call costs the database.
struct Cost {
    statements: f64,
    commits: f64,
    /// Microseconds on the processors of its server.
    cpu_us: f64,
}

/// Calls of the same jobs over and over.
fn replays(caller: &impl Caller) -> Subject<'_> {
    let pool = Pool::starting_at(REPLAYED_FROM, REPLAYED);
    Box::new(move |runtime, callers, calls| {
        runtime.block_on(drive(callers, calls, |turns| caller.run(pool.clone(), turns)))
    })
}
