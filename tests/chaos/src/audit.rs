//! Everybody's last question: when all is well again, each key is called once more, and its record looked at.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::key::RecordKey;
use idem_runtime::record::{Record, Status};
use idem_runtime::storage::{SharedStorage, Storage};
use idem_runtime::{Error, Idempotency, Key};
use testkit::ledger::Ledger;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::diary::{Answer, Diary, What};
use crate::load::{Load, Plan};
use crate::oracle;
use crate::worker::{ask, execution};

/// Keys that are called at once.
const AT_ONCE: usize = 16;

/// A storage that has just come back may refuse once more, as long as nobody's body has run.
const ATTEMPTS: u64 = 5;

/// How much longer than a lease a caller waits for its answer: longer than the judge lets pass.
const LONGER: Duration = Duration::from_secs(6);

/// How long the storage may take to be there again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the last questions came to.
#[derive(Debug)]
pub struct Audit {
    /// The process that asked.
    pub process: oracle::Process,
    /// Keys whose record is not finished, and what it is instead.
    pub left: Vec<(String, &'static str)>,
}

/// Calls every key that somebody has called.
pub fn audit(load: &Load, processes: &[oracle::Process]) -> Audit {
    let notes = processes.iter().flat_map(|process| &process.notes);
    let called = notes.filter_map(|note| match &note.what {
        What::Called { key, .. } => Some(key.clone()),
        _ => None,
    });
    let keys: BTreeSet<String> = called.collect();
    let dir = load.dir.join("audit");
    std::fs::create_dir(&dir).expect("a folder can be made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let left = runtime.block_on(call_all(load, keys, &dir));
    let entries = crate::worker::ledger_in(&dir).entries();
    let process =
        oracle::Process { entries, notes: Diary::read(&dir), ..oracle::Process::default() };
    Audit { process, left }
}

async fn call_all(load: &Load, keys: BTreeSet<String>, dir: &Path) -> Vec<(String, &'static str)> {
    let storage = connect(&load.url).await;
    let idem = Idempotency::builder(storage.clone()).namespace(&load.namespace).build();
    let idem = idem.expect("the settings make sense");
    let (ledger, diary) = (Ledger::create(dir), Arc::new(Diary::create(dir)));
    let mut calls = JoinSet::new();
    for (number, key) in keys.iter().enumerate() {
        if calls.len() == AT_ONCE {
            calls.join_next().await;
        }
        let plan = Plan {
            takes: Duration::ZERO,
            releases: false,
            ..Plan::named(load.seed, key, load.lease)
        };
        let first = u64::from(load.number) << 32 | (number as u64 * ATTEMPTS);
        let (idem, ledger, diary, lease) =
            (idem.clone(), ledger.clone(), Arc::clone(&diary), load.lease);
        calls.spawn(async move {
            for call in first..first + ATTEMPTS {
                diary.note(call, What::Called { key: plan.key.clone(), parks: plan.parks });
                let told = Arc::clone(&diary);
                let lost = move |call| told.note(call, What::LeaseLost);
                let body =
                    execution(ledger.clone(), plan.clone(), call, None, lost, Handle::current());
                let answer = ask(&idem, &plan, lease, Some(lease + LONGER), body).await;
                let again = matches!(&answer, Answer::Refused { kind, .. } if kind == "storage");
                diary.note(call, What::Answered(answer));
                if !again {
                    break;
                }
            }
        });
    }
    calls.join_all().await;
    unfinished(&storage, load, &keys).await
}

async fn unfinished(
    storage: &SharedStorage,
    load: &Load,
    keys: &BTreeSet<String>,
) -> Vec<(String, &'static str)> {
    let mut unfinished = Vec::new();
    for key in keys {
        let name =
            Key::new(key.as_str()).and_then(|key| RecordKey::new(&load.namespace, None, &key));
        let record = load_patiently(storage, &name.expect("the names are good")).await;
        match record.map(|record| record.status()) {
            None => unfinished.push((key.clone(), "gone")),
            Some(Status::Processing) => unfinished.push((key.clone(), "at work")),
            Some(Status::Released) => unfinished.push((key.clone(), "released")),
            Some(Status::Completed | Status::Failed) => {}
        }
    }
    unfinished
}

async fn load_patiently(storage: &SharedStorage, name: &RecordKey) -> Option<Record> {
    let begun = Instant::now();
    loop {
        match storage.load(name).await {
            Err(error) if error.is_transient() && begun.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(50)).await;
            }
            record => return record.expect("the storage is there, and the record can be read"),
        }
    }
}

/// The storage, once it answers.
async fn connect(url: &str) -> SharedStorage {
    let begun = Instant::now();
    loop {
        let error = match answering(url).await {
            Ok(storage) => return storage,
            Err(error) => error,
        };
        assert!(begun.elapsed() < PATIENCE, "the storage does not come back: {error}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn answering(url: &str) -> Result<SharedStorage, Error> {
    let storage = Idempotency::connect(url).await?.storage().clone();
    let anything = RecordKey::from_stored("chaos:nothing".to_owned());
    storage.load(&anything).await?;
    Ok(storage)
}
