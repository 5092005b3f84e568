//! Fresh calls and replays on the memory storage, against the least that any such thing has to do: encode and hash the arguments, look into a
//! sharded map, encode or decode the result.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use hashbrown::{DefaultHashBuilder, HashMap};
use idempotency::Idempotency;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::contest::Comparison;
use crate::load::{Turns, drive};
use crate::payload::{Arguments, Pool, Receipt, charge, charge_by_handle};
use crate::report::Row;
use crate::sampling::{Sampling, Subject};

/// So many jobs are replayed over and over.
const REPLAYED: usize = 8192;

/// Both scenarios at one caller and at many.
pub(crate) fn contests(sampling: &mut Sampling<'_>) -> Vec<Row> {
    let (attribute, handle, limit) = (0, 1, 2);
    let bare = "bare map, SHA-256, JSON";
    let mut rows = Vec::new();
    for callers in [1, 64, 512] {
        for scenario in ["fresh", "replay"] {
            let replay = scenario == "replay";
            let mut subjects = [by_attribute(replay), by_handle(replay), by_bare_map(replay)];
            let samples = sampling.contest("memory", scenario, callers, &mut subjects);
            let compare = |subject, limit, limit_is, at_least| {
                let comparison = Comparison { scenario, subject, limit, limit_is, at_least };
                comparison.row("memory", callers, &samples)
            };
            rows.push(compare(attribute, limit, bare, Some(0.7)));
            rows.push(compare(attribute, handle, "through the handle", Some(0.97)));
        }
    }
    rows
}

pub(crate) fn by_attribute<'a>(replay: bool) -> Subject<'a> {
    subject(replay, Idempotency::memory, |idem, pool, mut turns| async move {
        while let Some(number) = turns.next() {
            turns.check(charge(&idem, pool.get(number)).await);
        }
        turns
    })
}

fn by_handle<'a>(replay: bool) -> Subject<'a> {
    subject(replay, Idempotency::memory, |idem, pool, mut turns| async move {
        while let Some(number) = turns.next() {
            turns.check(charge_by_handle(&idem, pool.get(number)).await);
        }
        turns
    })
}

fn by_bare_map<'a>(replay: bool) -> Subject<'a> {
    subject(replay, Arc::<BareMap>::default, |map, pool, mut turns| async move {
        while let Some(number) = turns.next() {
            turns.check(map.charge(pool.get(number)));
            // As a call that has nothing to wait for, too.
            std::future::ready(()).await;
        }
        turns
    })
}

/// A subject alone, for a profiler.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    Fresh,
    Replay,
    BareFresh,
    BareReplay,
}

/// Makes calls one after the other; how long one took.
pub(crate) fn profile(runtime: &Runtime, name: Name, calls: usize) -> Duration {
    let mut subject = match name {
        Name::Fresh => by_attribute(false),
        Name::Replay => by_attribute(true),
        Name::BareFresh => by_bare_map(false),
        Name::BareReplay => by_bare_map(true),
    };
    subject(runtime, 1, calls).elapsed.div_f64(calls as f64)
}

/// A fresh storage for every sample of fresh calls; one that was filled before for replays.
fn subject<'a, S, C, F>(replay: bool, storage: impl Fn() -> S + 'a, caller: C) -> Subject<'a>
where
    S: Clone + 'a,
    C: Fn(S, Pool, Turns) -> F + 'a,
    F: Future<Output = Turns> + Send + 'static,
{
    let mut pool = Pool::default();
    let mut filled = None;
    Box::new(move |runtime, callers, calls| {
        let storage = filled.clone().unwrap_or_else(&storage);
        let pool = pool.of(if replay { REPLAYED } else { calls });
        let start = |turns| caller(storage.clone(), pool.clone(), turns);
        if replay && filled.is_none() {
            runtime.block_on(drive(1, REPLAYED, start));
            filled = Some(storage.clone());
        }
        runtime.block_on(drive(callers, calls, start))
    })
}

/// The least that a call with a result kept in memory has to do.
#[derive(Default)]
struct BareMap {
    shards: [Mutex<HashMap<String, Entry>>; 32],
    hasher: DefaultHashBuilder,
}

struct Entry {
    fingerprint: [u8; 32],
    /// `None` while the job runs.
    result: Option<Arc<[u8]>>,
}

impl BareMap {
    fn charge(&self, arguments: &Arguments) -> serde_json::Result<Receipt> {
        let fingerprint = Sha256::digest(serde_json::to_vec(arguments)?).into();
        let key = arguments.key();
        let shard = &self.shards[self.hasher.hash_one(&key) as usize % 32];
        {
            let mut shard = shard.lock();
            if let Some(entry) = shard.get(&key) {
                assert_eq!(entry.fingerprint, fingerprint);
                let result = entry.result.clone().unwrap_or_default();
                drop(shard);
                return serde_json::from_slice(&result);
            }
            shard.insert(key.clone(), Entry { fingerprint, result: None });
        }
        let receipt = arguments.receipt();
        let result = serde_json::to_vec(&receipt)?;
        if let Some(entry) = shard.lock().get_mut(&key) {
            entry.result = Some(result.into());
        }
        Ok(receipt)
    }
}
