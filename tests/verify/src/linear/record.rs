//! Makes histories: clients of real storages that do as they like, and write down what they asked and heard.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use idem_runtime::Fingerprint;
use idem_runtime::codec::CodecTag;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Failure, Finish, Finished, OwnerId, Payload};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Lost, Release, Renew, SharedStorage, Storage, StorageError,
    StorageErrorKind, Written,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::history::{Answer, End, History, Operation, Request, There};

/// How many operations a client makes.
const OPERATIONS: Range<usize> = 5..9;
/// Leases in milliseconds, short enough to be outlived.
const LEASES: [u64; 3] = [12, 25, 50];
/// Nothing is forgotten while a history is made.
const TTL: Duration = Duration::from_secs(600);
/// Of storages that count milliseconds, with one for rounding on either side.
const GRAIN: Duration = Duration::from_millis(2);
const TEXT: CodecTag = match CodecTag::new("text") {
    Some(tag) => tag,
    None => unreachable!(),
};

/// Lets one client for each storage, four at least, work on a key that nobody has used, and gives what they heard. Each client is on one
/// of the runtimes `homes`, in turn. Futures are dropped now and then before they give an answer.
///
/// # Errors
///
/// What a storage says that is neither an answer nor an outage.
pub async fn record(
    storages: &[SharedStorage],
    homes: &[Handle],
    key: &RecordKey,
    seed: u64,
) -> Result<History, StorageError> {
    let origin = Instant::now();
    let mut homes = homes.iter().cycle();
    let mut random = Rng::with_seed(seed);
    let mut clients = JoinSet::new();
    for (number, storage) in (0..).zip(storages.iter().cycle().take(storages.len().max(4))) {
        let (storage, key, random) = (storage.clone(), key.clone(), random.fork());
        let client = Client { number, storage, key, random, origin, claims: Vec::new() };
        match homes.next() {
            Some(home) => clients.spawn_on(client.work(), home),
            None => clients.spawn(client.work()),
        };
    }
    let mut operations = Vec::new();
    while let Some(client) = clients.join_next().await {
        operations.extend(client.map_err(|panic| {
            StorageError::new(StorageErrorKind::Configuration, "a client panicked")
                .with_source(panic)
        })??);
    }
    Ok(History { operations, tolerance: micros(GRAIN) })
}

struct Client {
    number: u32,
    storage: SharedStorage,
    key: RecordKey,
    random: Rng,
    origin: Instant,
    /// Those it made, the last one last.
    claims: Vec<Request>,
}

impl Client {
    async fn work(mut self) -> Result<Vec<Operation>, StorageError> {
        let mut operations = Vec::new();
        for _ in 0..self.random.usize(OPERATIONS) {
            self.pause().await;
            let request = self.request();
            operations.push(self.ask(request).await?);
        }
        Ok(operations)
    }

    /// Not at all, briefly, or for longer than a lease.
    async fn pause(&mut self) {
        match self.random.u8(..10) {
            0..5 => {}
            5..9 => sleep(Duration::from_micros(self.random.u64(..4_000))).await,
            _ => sleep(Duration::from_millis(self.random.u64(10..60))).await,
        }
    }

    /// Mostly in the name of its last claim, whatever became of that.
    fn request(&mut self) -> Request {
        let Some(&last @ Request::Claim { owner, .. }) = self.claims.last() else {
            return self.claim();
        };
        match self.random.u8(..100) {
            0..25 => Request::Renew { owner },
            25..42 => {
                Request::Complete { owner, end: End::Recorded(owner << 1 | self.random.u32(..2)) }
            }
            42..45 => Request::Complete { owner, end: End::Indeterminate },
            45..62 => Request::Release { owner },
            62..70 => last,
            _ => self.claim(),
        }
    }

    fn claim(&mut self) -> Request {
        let claim = Request::Claim {
            owner: self.number << 16 | u32::try_from(self.claims.len()).unwrap_or(u32::MAX),
            fingerprint: u8::from(self.random.u8(..12) == 0),
            lease: micros(Duration::from_millis(LEASES[self.random.usize(..LEASES.len())])),
            parks: self.random.u8(..4) == 0,
        };
        self.claims.push(claim);
        claim
    }

    /// What became of a request.
    async fn ask(&mut self, request: Request) -> Result<Operation, StorageError> {
        let begun = micros(self.origin.elapsed());
        let answer = if self.random.u8(..16) == 0 {
            let patience = Duration::from_micros(self.random.u64(..3_000));
            timeout(patience, self.send(request)).await.ok()
        } else {
            Some(self.send(request).await)
        };
        let ended = micros(self.origin.elapsed());
        let answered = match answer {
            Some(Ok(answer)) => Some((ended, answer)),
            Some(Err(error)) => match error.kind() {
                StorageErrorKind::NotApplied | StorageErrorKind::Full => {
                    Some((ended, Answer::Refused))
                }
                StorageErrorKind::Indeterminate => None,
                _ => return Err(error),
            },
            None => None,
        };
        Ok(Operation { request, begun, answered })
    }

    async fn send(&self, request: Request) -> Result<Answer, StorageError> {
        let key = self.key.clone();
        match request {
            Request::Claim { owner, fingerprint, lease, parks } => {
                let claim = Claim {
                    key,
                    owner: owner_id(owner),
                    fingerprint: fingerprint_of(fingerprint)?,
                    lease: Duration::from_micros(lease),
                    ttl: TTL,
                    on_crash: if parks { CrashPolicy::Park } else { CrashPolicy::Retry },
                };
                Ok(match self.storage.claim(&claim).await? {
                    Claimed::Acquired { fence, recovered: true } => Answer::Recovered(fence.get()),
                    Claimed::Acquired { fence, recovered: false } => Answer::Acquired(fence.get()),
                    Claimed::InProgress { .. } => Answer::InProgress,
                    // Of several claims that come at one moment, more than one may say that it parked.
                    Claimed::Replay(finished) | Claimed::Parked(finished) => {
                        Answer::Replay(end_of(&finished))
                    }
                    Claimed::Mismatch => Answer::Mismatch,
                })
            }
            Request::Renew { owner } => {
                let renew = Renew { key, owner: owner_id(owner) };
                let mut answers = self.storage.renew(&[renew]).await;
                match answers.pop() {
                    Some(answer) if answers.is_empty() => answer.map(heard),
                    _ => Err(foreign("a renewal did not get one answer")),
                }
            }
            Request::Complete { owner, end } => {
                let owner = owner_id(owner);
                let complete = Complete { key, owner, finish: finish(end), ttl: TTL };
                Ok(heard(self.storage.complete(&complete).await?))
            }
            Request::Release { owner } => {
                let release = Release { key, owner: owner_id(owner) };
                Ok(heard(self.storage.release(&release).await?))
            }
        }
    }
}

fn owner_id(owner: u32) -> OwnerId {
    OwnerId::from_bytes(u128::from(owner).to_be_bytes())
}

fn fingerprint_of(number: u8) -> Result<Fingerprint, StorageError> {
    Fingerprint::of("history", &number)
        .map_err(|error| foreign("a number has no fingerprint").with_source(error))
}

fn finish(end: End) -> Finish {
    match end {
        End::Recorded(number) => {
            Finish::Completed(Payload { codec: TEXT, bytes: number.to_string().into() })
        }
        End::Indeterminate => Finish::Failed(Failure::Indeterminate),
    }
}

/// Bytes that nobody recorded are an end that nobody recorded.
fn end_of(finished: &Finished) -> End {
    match &finished.finish {
        Finish::Failed(Failure::Indeterminate) => End::Indeterminate,
        Finish::Completed(payload) => {
            let number =
                std::str::from_utf8(&payload.bytes).ok().and_then(|text| text.parse().ok());
            End::Recorded(number.unwrap_or(u32::MAX))
        }
        Finish::Failed(_) => End::Recorded(u32::MAX),
    }
}

fn heard(written: Written) -> Answer {
    match written {
        Written::Done => Answer::Done,
        Written::LeaseLost(Lost::Gone) => Answer::Lost(There::Gone),
        Written::LeaseLost(Lost::TakenOver) => Answer::Lost(There::TakenOver),
        Written::LeaseLost(Lost::Finished(finished)) => {
            Answer::Lost(There::Ended(end_of(&finished)))
        }
    }
}

fn foreign(message: &'static str) -> StorageError {
    StorageError::new(StorageErrorKind::Configuration, message)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
