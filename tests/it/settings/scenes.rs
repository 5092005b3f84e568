//! What is done in each setting, whatever the storage.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Failure, Finish, OwnerId};
use idem_runtime::storage::{Claim, Claimed, Complete, SharedStorage, Storage, Written};
use idem_runtime::{Error, Idempotency, Key};
use parking_lot::Mutex;

use super::matrix::{Failed, Verdict};
use crate::stage::{BUSY, PATIENCE};

/// How long a dead owner's key stays locked.
const LEASE: Duration = Duration::from_millis(300);

const TTL: Duration = Duration::from_secs(600);

const OPERATION: &str = "settle";

/// What happened outside of the records.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<HashMap<String, usize>>>);

impl Ledger {
    pub(super) fn enter(&self, key: &str) {
        *self.0.lock().entry(key.to_owned()).or_default() += 1;
    }

    pub(super) fn count(&self, key: &str) -> usize {
        self.0.lock().get(key).copied().unwrap_or(0)
    }
}

/// Two processes on one setting.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) here: SharedStorage,
    pub(super) there: SharedStorage,
    pub(super) ledger: Ledger,
}

impl Pair {
    fn handle(storage: &SharedStorage) -> Result<Idempotency, Error> {
        // The settings are what is tried, and not how fast a busy machine connects.
        Idempotency::builder(storage.clone()).ttl(TTL).claim_timeout(BUSY).build()
    }

    /// Calls, with a body that takes a moment.
    async fn call(&self, storage: &SharedStorage, key: &str) -> Result<String, Failed> {
        let (ledger, name) = (self.ledger.clone(), key.to_owned());
        let body = async move {
            ledger.enter(&name);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Error>(format!("{name}, run {}", ledger.count(&name)))
        };
        let operation = Self::handle(storage)?.operation(OPERATION).key(key).wait(PATIENCE);
        Ok(operation.run(body).await?)
    }

    /// Whether a key's effect is there once, and everybody got its result.
    fn is_once(&self, key: &str, results: &[String]) -> Result<(), Failed> {
        let (count, first) = (self.ledger.count(key), format!("{key}, run 1"));
        if count == 1 && results.iter().all(|result| *result == first) {
            return Ok(());
        }
        Err(Failed::Broken(format!("{count} effects, and {results:?}")))
    }
}

/// A call that nobody else makes, and one that has no result.
pub(super) async fn fresh(pair: &Pair, key: &str) -> Result<(), Failed> {
    let result = pair.call(&pair.here, key).await?;
    pair.is_once(key, &[result])?;
    let again = format!("{key}-again");
    let refusing = Pair::handle(&pair.here)?.operation(OPERATION).key(again.as_str());
    let refusing = refusing.retry_if(|_: &Failed| true);
    let refused = refusing.run(async { Err::<String, _>(Failed::NotToday) }).await;
    let Err(Failed::NotToday) = refused else {
        return Err(Failed::Broken(format!("the error of a body is not given: {refused:?}")));
    };
    let result = pair.call(&pair.there, &again).await?;
    pair.is_once(&again, &[result])
}

/// Duplicates at the same time, in two processes, and one that comes later.
pub(super) async fn duplicate(pair: &Pair, key: &str) -> Result<(), Failed> {
    let (here, there) = (&pair.here, &pair.there);
    let (one, two, three) =
        tokio::join!(pair.call(here, key), pair.call(there, key), pair.call(here, key));
    let later = pair.call(there, key).await;
    pair.is_once(key, &[one?, two?, three?, later?])
}

/// An owner that died, and came back when somebody else had taken over.
pub(super) async fn takeover(pair: &Pair, key: &str) -> Result<(), Failed> {
    let record = RecordKey::new("default", None, &Key::new(key).unwrap()).unwrap();
    let owner = OwnerId::random();
    let claim = Claim {
        key: record.clone(),
        owner,
        fingerprint: Fingerprinter::new(OPERATION).finish(),
        lease: LEASE,
        ttl: TTL,
        on_crash: CrashPolicy::Retry,
    };
    let claimed = pair.here.claim(&claim).await?;
    if !matches!(claimed, Claimed::Acquired { .. }) {
        return Err(Failed::Broken(format!("a free key is {claimed:?}")));
    }
    let result = pair.call(&pair.there, key).await?;
    pair.is_once(key, &[result])?;
    let finish = Finish::Failed(Failure::Unserializable);
    let late = pair.here.complete(&Complete { key: record, owner, finish, ttl: TTL }).await?;
    if matches!(late, Written::Done) {
        return Err(Failed::Broken("a late owner's write counts".to_owned()));
    }
    let later = pair.call(&pair.here, key).await?;
    pair.is_once(key, &[later])
}

/// What a scene's end means, whose effects are counted under `key`.
pub(super) fn verdict(ended: Result<(), Failed>, effects: usize) -> Verdict {
    match ended {
        Ok(()) => Verdict::Green,
        Err(Failed::Told(text)) if effects == 0 => Verdict::Refused(text),
        Err(Failed::Told(text)) => Verdict::Broken(format!("{effects} effects, and then: {text}")),
        Err(failed) => Verdict::Broken(failed.to_string()),
    }
}
