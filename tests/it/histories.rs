//! Linearizability: what concurrent clients of every backend heard under faults can be put in one order that the contract allows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::try_join_all;
use idem_runtime::codec::CodecTag;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Failure, Fence, Finish, Payload, Status};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Lost, Renew, SharedStorage, Storage, Written,
};
use idem_runtime::testing::FaultyStorage;
use idem_tests::extent;
use idem_verify::linear::{Answer, History, Violation, check, record};
use testkit::proxy::{FaultProxy, Loss};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::conformance::flawed::{Flaw, Flawed};
use crate::stage::{GRAIN, Stage, TTL, in_time};

/// Enough to be told a storage that is wrong from one that is right.
const FEW: u32 = 160;
const MANY: u32 = 20_000;
/// How many are made at once, so that clients of different keys meet in batches and pools.
const AT_ONCE: usize = 24;

/// What is in histories.
#[derive(Debug, Default)]
struct Tally {
    operations: usize,
    unanswered: usize,
    replays: usize,
    takeovers: usize,
    after_releases: usize,
    lost_leases: usize,
}

impl Tally {
    fn add(&mut self, history: &History) {
        for operation in &history.operations {
            self.operations += 1;
            match operation.answered {
                None => self.unanswered += 1,
                Some((_, Answer::Replay(_))) => self.replays += 1,
                Some((_, Answer::Recovered(_))) => self.takeovers += 1,
                Some((_, Answer::Acquired(fence))) if fence > 1 => self.after_releases += 1,
                Some((_, Answer::Lost(_))) => self.lost_leases += 1,
                Some(_) => {}
            }
        }
    }
}

/// Makes histories on keys of their own, and checks each of them.
async fn hunt(
    storages: &[SharedStorage],
    homes: &[Handle],
    namespace: &str,
    histories: u32,
) -> Result<Tally, Violation> {
    let storages: Arc<[SharedStorage]> = storages.into();
    let homes: Arc<[Handle]> = homes.into();
    let mut tally = Tally::default();
    let mut running = JoinSet::new();
    for seed in 0..histories {
        if running.len() == AT_ONCE {
            tally.add(&running.join_next().await.unwrap().unwrap()?);
        }
        let (storages, homes) = (Arc::clone(&storages), Arc::clone(&homes));
        let key = RecordKey::from_stored(format!("{namespace}:{seed}"));
        running.spawn(async move {
            let history = record(&storages, &homes, &key, seed.into()).await.unwrap();
            check(&history).map(|()| history)
        });
    }
    while let Some(history) = running.join_next().await {
        tally.add(&history.unwrap()?);
    }
    Ok(tally)
}

#[allow(clippy::print_stdout, reason = "the figures of long runs")]
async fn histories_have_an_order(stage: Stage) {
    let many = extent(FEW, MANY);
    let mut storages = vec![stage.storage().await];
    let mut disturbances = Vec::new();
    for _ in 0..2 {
        storages.push(if let Some(proxy) = stage.proxy() {
            let storage = stage.storage_through(&proxy).await;
            disturbances.push(Disturbance::of(proxy));
            storage
        } else {
            stage.storage().await
        });
    }
    let unreliable = FaultyStorage::new(stage.storage().await);
    unreliable.faults().random(many.into(), 0.1);
    storages.push(SharedStorage::new(unreliable));

    let standing = StandingStill::start();
    let homes = [Handle::current(), Handle::current(), standing.runtime.clone()];
    let tally = hunt(&storages, &homes, &stage.namespace, many).await;
    standing.end();
    let faults: usize = disturbances.into_iter().map(Disturbance::end).sum();
    let tally = tally.unwrap_or_else(|violation| panic!("{violation}"));
    let name = storages[0].backend();
    println!("{name}: {many} histories, {faults} faults of connections, {tally:?}");
    let Tally { unanswered, replays, takeovers, after_releases, lost_leases, .. } = tally;
    let rarest = [unanswered, replays, takeovers, after_releases, lost_leases].into_iter().min();
    assert!(rarest > Some(0), "histories in which something never happens: {tally:?}");
}

on_every_backend!(histories_have_an_order);

/// Found by the histories: a claim that took over answered with what became of the key afterwards.
async fn a_slow_takeover_says_that_it_took_over(stage: Stage) {
    const SHORT: Duration = Duration::from_millis(10);
    let dead = stage.dead_owner("late", SHORT, CrashPolicy::Retry).await;
    tokio::time::sleep(SHORT + GRAIN).await;
    let proxy = stage.proxy().unwrap();
    let slow = stage.storage_through(&proxy).await;
    proxy.delay_requests(Duration::from_millis(60));
    let claim = stage.claim("late", SHORT, CrashPolicy::Retry);
    let owner = claim.owner;
    let taking = tokio::spawn(async move { slow.claim(&claim).await });

    while stage.record("late").await.unwrap().owner == dead.owner {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(stage.record("late").await.unwrap().owner, owner);
    tokio::time::sleep(SHORT + GRAIN).await;
    let rival = stage.claim("late", TTL, CrashPolicy::Retry);
    let taken = stage.storage().await.claim(&rival).await.unwrap();
    assert_eq!(taken, Claimed::Acquired { fence: Fence::new(3), recovered: true });
    let taken = in_time(taking).await.unwrap().unwrap();
    assert_eq!(taken, Claimed::Acquired { fence: Fence::new(2), recovered: true });
}

/// Likewise: a claim that parked an operation answered with what its owner said of it afterwards.
async fn a_slow_claim_that_parks_says_that_it_parked(stage: Stage) {
    const SHORT: Duration = Duration::from_millis(10);
    let dead = stage.dead_owner("late", SHORT, CrashPolicy::Park).await;
    tokio::time::sleep(SHORT + GRAIN).await;
    let proxy = stage.proxy().unwrap();
    let slow = stage.storage_through(&proxy).await;
    proxy.delay_requests(Duration::from_millis(60));
    let claim = stage.claim("late", TTL, CrashPolicy::Park);
    let parking = tokio::spawn(async move { slow.claim(&claim).await });

    while stage.record("late").await.unwrap().status() == Status::Processing {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let result = Finish::Completed(Payload {
        codec: CodecTag::new("json").unwrap(),
        bytes: "1".to_owned().into(),
    });
    let healed = stage.storage().await.complete(&completion(&dead, result)).await;
    assert_eq!(healed.unwrap(), Written::Done);
    let Claimed::Parked(finished) = in_time(parking).await.unwrap().unwrap() else {
        panic!("it was parked")
    };
    assert_eq!(finished.finish, Finish::Failed(Failure::Indeterminate));
}

/// Found by the histories: an end that was recorded was taken for one that was not.
async fn nobody_knows_is_said_once(stage: Stage) {
    let proxy = stage.proxy().unwrap();
    let slow = stage.storage_through(&proxy).await;
    let (mut completions, mut answers, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for number in 10..26 {
        let claim = stage.claim(&number.to_string(), TTL, CrashPolicy::Retry);
        let is_own = number % 2 == 0;
        if is_own {
            assert!(matches!(slow.claim(&claim).await, Ok(Claimed::Acquired { .. })));
            sent.push((claim.key.clone(), 0));
        }
        completions.push(completion(&claim, Finish::Failed(Failure::Indeterminate)));
        answers.push(if is_own { Written::Done } else { Written::LeaseLost(Lost::Gone) });
    }
    // Those that come while the first is under way go together, and what is read back of them is of an earlier millisecond.
    proxy.delay_requests(Duration::from_millis(5));
    let sent = Mutex::new(sent);
    proxy.drop_requests(Loss::next(1).of_requests(move |request| {
        let names = |key: &RecordKey| {
            let key = key.as_str().as_bytes();
            request.windows(key.len()).any(|part| part == key)
        };
        let mut is_sent_again = false;
        for (_, times) in sent.lock().unwrap().iter_mut().filter(|(key, _)| names(key)) {
            *times += 1;
            is_sent_again |= *times > 1;
        }
        is_sent_again
    }));
    let given = try_join_all(completions.iter().map(|completion| slow.complete(completion))).await;
    assert_eq!(given.unwrap(), answers);
}

/// Likewise: a renewal answered with what became of the key afterwards.
async fn a_slow_renewal_says_that_it_renewed(stage: Stage) {
    const SHORT: Duration = Duration::from_millis(10);
    let own = stage.dead_owner("own", SHORT, CrashPolicy::Retry).await;
    let foreign = stage.claim("foreign", SHORT, CrashPolicy::Retry);
    let before = stage.record("own").await;
    let proxy = stage.proxy().unwrap();
    let slow = stage.storage_through(&proxy).await;
    proxy.delay_requests(Duration::from_millis(60));
    let renewals = [own, foreign].map(|claim| Renew { key: claim.key, owner: claim.owner });
    let renewing = tokio::spawn(async move { slow.renew(&renewals).await });

    while stage.record("own").await == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(SHORT + GRAIN).await;
    let rival = stage.claim("own", TTL, CrashPolicy::Retry);
    let taken = stage.storage().await.claim(&rival).await.unwrap();
    assert_eq!(taken, Claimed::Acquired { fence: Fence::new(2), recovered: true });
    let renewed: Result<Vec<_>, _> = in_time(renewing).await.unwrap().into_iter().collect();
    assert_eq!(renewed.unwrap(), [Written::Done, Written::LeaseLost(Lost::Gone)]);
}

on_every_server!(
    a_slow_takeover_says_that_it_took_over,
    a_slow_renewal_says_that_it_renewed,
    a_slow_claim_that_parks_says_that_it_parked,
    nobody_knows_is_said_once,
);

fn completion(claim: &Claim, finish: Finish) -> Complete {
    Complete { key: claim.key.clone(), owner: claim.owner, finish, ttl: claim.ttl }
}

/// Something goes wrong with the connections through a proxy every few milliseconds.
struct Disturbance {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Disturbance {
    fn of(proxy: FaultProxy) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut faults = 0;
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(fastrand::u64(5..60)));
                disturb(&proxy);
                faults += 1;
            }
            proxy.heal();
            faults
        });
        Self { stop, thread }
    }

    /// Ends it, and says how often something went wrong.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A runtime whose only thread stands still every few milliseconds, for longer than most leases here.
struct StandingStill {
    runtime: Handle,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl StandingStill {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                while !stopped.is_cancelled() {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(5..40))).await;
                    thread::sleep(Duration::from_millis(fastrand::u64(..60)));
                }
            });
        });
        Self { runtime: handle, stop, thread }
    }

    fn end(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

fn disturb(proxy: &FaultProxy) {
    match fastrand::u8(..6) {
        0 => proxy.cut(),
        1 => proxy.drop_requests(1),
        2 => proxy.drop_replies(1),
        3 => proxy.delay(Duration::from_millis(fastrand::u64(..3))),
        4 => proxy.delay_requests(Duration::from_millis(fastrand::u64(..3))),
        _ => {
            proxy.refuse();
            proxy.cut();
            thread::sleep(Duration::from_millis(3));
            proxy.accept();
        }
    }
}

async fn hunt_on_flawed(flaw: Flaw) -> Result<Tally, Violation> {
    let flawed = SharedStorage::new(Flawed::in_real_time(flaw));
    hunt(&[flawed], &[], "flawed", FEW).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flaws_are_found() {
    use idem_runtime::testing::Verb::{Claim, Complete, Release, Renew};
    let sound = hunt_on_flawed(Flaw::None).await;
    sound.unwrap_or_else(|violation| panic!("{violation}"));
    for flaw in [
        Flaw::GetThenSet(Claim),
        Flaw::GetThenSet(Complete),
        Flaw::GetThenSet(Renew),
        Flaw::GetThenSet(Release),
        Flaw::StatusBeforeFingerprint,
        Flaw::SecondClaimIsInProgress,
        Flaw::TakeoverKeepsTheFence,
        Flaw::TakeoverBeforeTheLeaseIsOver,
        Flaw::NoTakeover,
        Flaw::FenceStaysAfterARelease,
        Flaw::ReleaseForgetsTheFence,
        Flaw::ReleaseIsACrash,
        Flaw::ReleaseAgainIsLost,
        Flaw::TakeoverIsNoRecovery,
        Flaw::SecondClaimForgetsTheCrash,
        Flaw::PolicyOfTheClaimer,
        Flaw::CompleteIgnoresTheOwner,
        Flaw::CompleteOnlyWithinTheLease,
        Flaw::CompleteAfterRelease,
        Flaw::LastFinishWins,
        Flaw::HealingByAnybody,
        Flaw::LostIsAlwaysGone,
        Flaw::RenewIgnoresTheOwner,
        Flaw::RenewDoesNothing,
        Flaw::RenewAfterRelease,
        Flaw::ReleaseIgnoresTheOwner,
        Flaw::ReleaseRemovesFinished,
    ] {
        assert!(hunt_on_flawed(flaw).await.is_err(), "{flaw:?} was not found");
    }
}
