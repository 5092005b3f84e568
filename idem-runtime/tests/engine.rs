//! The engine on the memory storage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{MemoryStorage, Storage};
use idem_runtime::{Error, ErrorKind, Idempotency, Outcome, Source, current};
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Counter(Arc<AtomicU32>);

impl Counter {
    fn hit(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_second_call_replays_the_first_result() {
    let idem = Idempotency::memory();
    let runs = Counter::default();
    for _ in 0..3 {
        let value = idem.execute("k", TTL, async { Ok::<_, Error>(runs.hit()) }).await.unwrap();
        assert_eq!(value, 1);
    }
    assert_eq!(idem.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_duplicates_run_once() {
    let idem = Idempotency::memory();
    let runs = Counter::default();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (idem, runs) = (idem.clone(), runs.clone());
            tokio::spawn(async move {
                let body = async {
                    let run = runs.hit();
                    sleep(Duration::from_millis(50)).await;
                    Ok::<_, Error>(run)
                };
                idem.operation("op").key("k").wait(TTL).call(body).await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    assert_eq!(runs.get(), 1);
}

#[tokio::test]
async fn a_duplicate_without_wait_is_told_to_come_back() {
    let idem = Idempotency::memory();
    let slow = idem.operation("op").key("k").call(async {
        sleep(Duration::from_millis(50)).await;
        Ok::<_, Error>(1)
    });
    let quick = async {
        sleep(Duration::from_millis(10)).await;
        idem.operation("op").key("k").call(async { Ok::<_, Error>(2) }).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!(slow.unwrap(), 1);
    let error = quick.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
    assert!(error.retry_after().unwrap() > Duration::from_secs(29));
}

#[tokio::test]
async fn a_dropped_body_releases_at_once_and_parks_where_asked() {
    let idem = Idempotency::memory();
    for (policy, expected) in
        [(CrashPolicy::Retry, Ok(2)), (CrashPolicy::Park, Err(ErrorKind::Indeterminate))]
    {
        let key = format!("{policy:?}");
        let body = async {
            sleep(TTL).await;
            Ok::<_, Error>(1)
        };
        let call = idem.operation("op").key(key.as_str()).on_crash(policy).call(body);
        tokio::time::timeout(Duration::from_millis(10), call).await.unwrap_err();
        let again = idem.operation("op").key(key).call(async { Ok::<_, Error>(2) }).await;
        assert_eq!(again.map_err(|error| error.kind()), expected);
    }
}

#[tokio::test]
async fn a_panic_is_a_crash_that_was_seen() {
    let idem = Idempotency::memory();
    let runner = idem.clone();
    let panicked = tokio::spawn(async move {
        let body = async { panic!("on purpose") };
        runner.operation("op").key("k").call::<u32, Error, _>(body).await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    let again = idem.operation("op").key("k").call(async { Ok::<_, Error>(2) }).await;
    assert_eq!(again.unwrap(), 2);
}

#[tokio::test]
async fn a_call_inside_itself_is_reentrant() {
    let idem = Idempotency::memory();
    let outer = idem.operation("op").key("k").wait(TTL).call(async {
        let inner = idem.operation("op").key("k").wait(TTL).call(async { Ok::<_, Error>(1) }).await;
        assert_eq!(inner.unwrap_err().kind(), ErrorKind::Reentrant);
        Ok::<_, Error>(2)
    });
    assert_eq!(outer.await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_blocks_its_thread_keeps_its_lease() {
    let storage = MemoryStorage::new();
    let one = Idempotency::new(storage.clone()).unwrap();
    let two = Idempotency::new(storage).unwrap();
    let lease = Duration::from_millis(100);
    let blocking = tokio::spawn(async move {
        one.operation("op")
            .key("k")
            .lease(lease)
            .call(async {
                std::thread::sleep(Duration::from_millis(500));
                Ok::<_, Error>(1)
            })
            .await
    });
    sleep(Duration::from_millis(300)).await;
    let duplicate = two.operation("op").key("k").lease(lease).call(async { Ok::<_, Error>(2) });
    assert_eq!(duplicate.await.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    assert_eq!(blocking.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn another_handle_waits_and_is_woken() {
    let storage = MemoryStorage::new();
    let one = Idempotency::new(storage.clone()).unwrap();
    let two = Idempotency::new(storage).unwrap();
    let first = one.operation("op").key("k").run(async {
        sleep(Duration::from_millis(60)).await;
        Ok::<_, Error>(1)
    });
    let second = async {
        sleep(Duration::from_millis(10)).await;
        two.operation("op").key("k").wait(TTL).run(async { Ok::<_, Error>(2) }).await
    };
    let (first, second): (Result<Outcome<i32>, _>, Result<Outcome<i32>, _>) =
        tokio::join!(first, second);
    assert_eq!(first.unwrap().source, Source::Executed { recovered: false });
    let second = second.unwrap();
    assert_eq!(second.value, 1);
    assert!(second.is_replayed());
}

#[tokio::test]
async fn the_context_is_there_inside_a_body_alone() {
    let idem = Idempotency::memory();
    assert!(current().is_none());
    let call = idem.operation("op").key("k").tenant("t").call(async {
        let context = current().unwrap();
        assert_eq!(context.key().as_str(), "k");
        assert_eq!(context.tenant(), Some("t"));
        assert_eq!(context.operation(), "op");
        assert_eq!(context.attempt(), 1);
        Ok::<_, Error>(())
    });
    call.await.unwrap();
    assert!(current().is_none());
}

#[tokio::test]
async fn a_result_over_the_limit_is_given_once_and_refused_to_duplicates() {
    let idem = Idempotency::builder(MemoryStorage::new()).max_result_size(10).build().unwrap();
    let call = || idem.operation("op").key("k").run(async { Ok::<_, Error>("x".repeat(100)) });
    let first = call().await.unwrap();
    assert_eq!(first.source, Source::Unrecorded);
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(idem.storage().purge(10).await.unwrap(), 0);
}

#[test]
fn a_lease_is_kept_while_another_runtime_stands_still() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let storage = MemoryStorage::new();
    let lease = Duration::from_millis(100);
    let one = Idempotency::builder(storage.clone()).lease(lease).build().unwrap();
    let two = Idempotency::builder(storage).lease(lease).build().unwrap();
    let still = runtime();
    still.block_on(one.execute("first", TTL, async { Ok::<_, Error>(1) })).unwrap();
    runtime().block_on(async {
        let slow = one.operation("op").key("k").call(async {
            sleep(Duration::from_millis(400)).await;
            Ok::<_, Error>(1)
        });
        let duplicate = async {
            sleep(Duration::from_millis(250)).await;
            two.operation("op").key("k").call(async { Ok::<_, Error>(2) }).await
        };
        let (slow, duplicate) = tokio::join!(slow, duplicate);
        assert_eq!(slow.unwrap(), 1);
        assert_eq!(duplicate.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    });
}
