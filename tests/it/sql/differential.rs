//! The statements against the one state machine: the same history gives the same replies.
//!
//! Time is not waited for: to let it pass, the row's times are moved back, and the model's clock is moved forward. Leases and retentions are
//! minutes, so the moments that the test itself takes change nothing.

use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::engine::state::{Event, step};
use idem_runtime::record::{
    CrashPolicy, Failure, Finish, OwnerId, Payload, Record, State, Timestamp,
};
use idem_runtime::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Storage, Written};
use idem_runtime::{Fingerprint, RecordKey};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::fresh_key;

/// How many histories are compared on each database.
pub(super) const HISTORIES: u32 = 200;

/// A storage, and a way to let time pass for one of its records.
pub(super) trait Database {
    type Storage: Storage;

    fn storage(&self) -> &Self::Storage;

    /// Moves the times of a key's row back by so many milliseconds.
    fn pass(&self, key: &RecordKey, millis: i64) -> impl Future<Output = ()>;
}

/// The statement that moves the times of a row back by its first argument; the second is the key.
pub(super) const EARLIER: &str = "UPDATE idempotency_records SET lease_until = lease_until - $1, \
                                  purge_after = purge_after - $1, expires_at = expires_at - $1, \
                                  finished_at = finished_at - $1 WHERE key = $2";

#[derive(Clone, Debug)]
enum Step {
    Claim { owner: u8, arguments: u8, lease: u64, ttl: u64, park: bool },
    Renew { owner: u8 },
    Complete { owner: u8, finish: usize, ttl: u64 },
    Release { owner: u8 },
    Pass { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lease = prop::sample::select(vec![60, 120]);
    let ttl = prop::sample::select(vec![0, 90, 1000]);
    let kept = prop::sample::select(vec![0, 90, 1000]);
    let claim = (0..3_u8, 0..10_u8, lease, ttl, any::<bool>()).prop_map(
        |(owner, arguments, lease, ttl, park)| {
            // Most claims are of the same call.
            let arguments = arguments / 9;
            Step::Claim { owner, arguments, lease, ttl, park }
        },
    );
    let complete = (0..3_u8, 0..finishes().len(), kept)
        .prop_map(|(owner, finish, ttl)| Step::Complete { owner, finish, ttl });
    let step = prop_oneof![
        4 => claim,
        2 => complete,
        1 => (0..3_u8).prop_map(|owner| Step::Renew { owner }),
        1 => (0..3_u8).prop_map(|owner| Step::Release { owner }),
        3 => prop::sample::select(vec![25, 65, 135, 400]).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 1..24)
}

fn finishes() -> Vec<Finish> {
    let payload =
        |text: &'static str| Payload { codec: CodecTag::new("json").unwrap(), bytes: text.into() };
    let failed = |typed| Failure::Error { message: "no\0".to_owned(), typed };
    vec![
        Finish::Completed(payload("1")),
        Finish::Completed(payload("")),
        Finish::Failed(failed(None)),
        Finish::Failed(failed(Some(payload("{}")))),
        Finish::Failed(Failure::TooLarge { size: 1 << 40 }),
        Finish::Failed(Failure::Unserializable),
        Finish::Failed(Failure::Indeterminate),
    ]
}

/// The same record in the database and in the model.
struct Pair<'a, D> {
    database: &'a D,
    key: RecordKey,
    model: Option<Record>,
    now: Timestamp,
}

impl<D: Database> Pair<'_, D> {
    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let key = self.key.clone();
        let storage = self.database.storage();
        match *step {
            Step::Claim { owner, arguments, lease, ttl, park } => {
                let claim = Claim {
                    key,
                    owner: owner_number(owner),
                    fingerprint: Fingerprint::of("charge", &arguments).unwrap(),
                    lease: Duration::from_secs(lease),
                    ttl: Duration::from_secs(ttl),
                    on_crash: if park { CrashPolicy::Park } else { CrashPolicy::Retry },
                };
                let reply = storage.claim(&claim).await.unwrap();
                let expected = self.model(&claim);
                prop_assert_eq!(timeless_claimed(reply), timeless_claimed(expected));
            }
            Step::Renew { owner } => {
                let renew = Renew { key, owner: owner_number(owner) };
                let reply = storage.renew(std::slice::from_ref(&renew)).await.remove(0);
                let expected = self.model(&renew);
                prop_assert_eq!(timeless_written(reply.unwrap()), timeless_written(expected));
            }
            Step::Complete { owner, finish, ttl } => {
                let complete = Complete {
                    key,
                    owner: owner_number(owner),
                    finish: finishes().swap_remove(finish),
                    ttl: Duration::from_secs(ttl),
                };
                let reply = storage.complete(&complete).await.unwrap();
                let expected = self.model(&complete);
                prop_assert_eq!(timeless_written(reply), timeless_written(expected));
            }
            Step::Release { owner } => {
                let release = Release { key, owner: owner_number(owner) };
                let reply = storage.release(&release).await.unwrap();
                let expected = self.model(&release);
                prop_assert_eq!(timeless_written(reply), timeless_written(expected));
            }
            Step::Pass { seconds } => {
                self.database.pass(&key, i64::try_from(seconds * 1000).unwrap()).await;
                self.now = self.now.after(Duration::from_secs(seconds));
            }
        }
        let stored = storage.load(&self.key).await.unwrap();
        let expected = self.model.clone().filter(|record| !record.is_expired(self.now));
        prop_assert_eq!(stored.map(timeless_record), expected.map(timeless_record));
        Ok(())
    }

    fn model<E: Event>(&mut self, event: &E) -> E::Reply {
        let (record, reply) = step(self.model.take(), event, self.now);
        self.model = record;
        reply
    }
}

fn owner_number(number: u8) -> OwnerId {
    OwnerId::from_bytes([number; 16])
}

fn timeless_claimed(claimed: Claimed) -> String {
    match claimed {
        Claimed::InProgress { lease_left } => {
            format!("in progress for {}", round(lease_left.as_millis()))
        }
        Claimed::Replay(finished) => format!("{:?}", describe(&finished.finish)),
        other => format!("{other:?}"),
    }
}

fn timeless_written(written: Written) -> String {
    match written {
        Written::LeaseLost(Lost::Finished(finished)) => {
            format!("lost to {:?}", describe(&finished.finish))
        }
        other => format!("{other:?}"),
    }
}

fn timeless_record(record: Record) -> String {
    let Record { fingerprint, owner, fence, state, .. } = record;
    let state = match state {
        State::Processing { lease, ttl, on_crash, lease_until } => {
            let retention = record.expires_at.as_millis() - lease_until.as_millis();
            format!("{lease:?} {ttl:?} {on_crash:?} {retention}")
        }
        State::Finished(finished) => {
            let retention = record.expires_at.as_millis() - finished.at.as_millis();
            format!("{:?} {retention}", describe(&finished.finish))
        }
    };
    format!("{fingerprint} {owner} {fence} {state}")
}

/// Payloads and messages are not in `Debug`.
fn describe(finish: &Finish) -> usize {
    finishes().iter().position(|known| known == finish).unwrap_or(usize::MAX)
}

/// To 5 seconds: every duration of the test is a multiple of that.
fn round(millis: u128) -> u128 {
    millis.div_ceil(5000) * 5
}

/// Compares random histories.
pub(super) fn compare(runtime: &Runtime, database: &impl Database) {
    let config =
        ProptestConfig { cases: HISTORIES, failure_persistence: None, ..Default::default() };
    proptest!(config, |(steps in steps())| {
        let mut pair = Pair {
            database,
            key: fresh_key(),
            model: None,
            now: Timestamp::from_millis(1_767_225_600_000),
        };
        runtime.block_on(async {
            for step in &steps {
                pair.take(step).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    });
}
