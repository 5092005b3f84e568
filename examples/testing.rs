//! How to test your own annotated functions: no server, no sleeping, no global state.
//!
//! ```text
//! cargo run --example testing      # runs the checks and says what each shows
//! cargo test --example testing     # runs them as tests, the way you would
//! ```
//!
//! Three things make it easy. [`idempotency::with`] gives a test a storage of its own, so that tests do not see each other. A [`ManualClock`]
//! (feature `testing`) moves leases and retention without waiting. A [`FaultyStorage`] (the same feature) fails when it is told to.
#![allow(clippy::print_stdout, reason = "its main function shows the checks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use idempotency::storage::MemoryStorage;
use idempotency::testing::{Fault, FaultyStorage, ManualClock, Verb};
use idempotency::{Error, ErrorKind, Idempotency, idempotent};
use tokio::sync::Notify;

/// The effect: letters that were posted.
#[derive(Default)]
struct PostOffice {
    posted: AtomicU32,
    arrived: Notify,
    /// Takes letters and never answers, so that a caller hangs in the middle of its work.
    on_strike: bool,
}

/// The code under test: posts one letter per customer, and gives its number.
#[idempotent(key = "welcome:{customer}", ttl = "1h", lease = "30s", wait = "5s", skip(post))]
async fn welcome(customer: &str, post: &PostOffice) -> Result<u32, Error> {
    let number = post.posted.fetch_add(1, SeqCst) + 1;
    post.arrived.notify_one();
    if post.on_strike {
        std::future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    Ok(number)
}

async fn a_second_call_gets_the_first_result() -> Result<(), Error> {
    let post = PostOffice::default();
    idempotency::with(Idempotency::memory(), async {
        assert_eq!(welcome("Zoë", &post).await?, 1);
        assert_eq!(welcome("Zoë", &post).await?, 1);
        assert_eq!(welcome("Łukasz", &post).await?, 2);
        assert_eq!(post.posted.load(SeqCst), 2);
        Ok(())
    })
    .await
}

async fn calls_at_the_same_time_run_once() -> Result<(), Error> {
    let post = PostOffice::default();
    let (first, second) = idempotency::with(Idempotency::memory(), async {
        tokio::join!(welcome("Zoë", &post), welcome("Zoë", &post))
    })
    .await;
    assert_eq!([first?, second?], [1, 1]);
    assert_eq!(post.posted.load(SeqCst), 1);
    Ok(())
}

async fn hooks_count_what_was_replayed() -> Result<(), Error> {
    let post = PostOffice::default();
    let replays = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&replays);
    let idem = Idempotency::builder(MemoryStorage::new())
        .on_replay(move |event| {
            assert_eq!(event.operation, "welcome");
            counter.fetch_add(1, SeqCst);
        })
        .build()?;
    idempotency::with(idem, async {
        for _ in 0..4 {
            welcome("Zoë", &post).await?;
        }
        assert_eq!(replays.load(SeqCst), 3);
        Ok(())
    })
    .await
}

async fn a_result_is_kept_for_its_ttl_and_no_longer() -> Result<(), Error> {
    let post = PostOffice::default();
    let clock = ManualClock::new();
    let idem = Idempotency::new(MemoryStorage::with_clock(clock.clone()))?;
    idempotency::with(idem, async {
        assert_eq!(welcome("Zoë", &post).await?, 1);
        clock.advance(Duration::from_secs(3599));
        assert_eq!(welcome("Zoë", &post).await?, 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(welcome("Zoë", &post).await?, 2);
        Ok(())
    })
    .await
}

async fn a_cancelled_call_releases_its_key_at_once() -> Result<(), Error> {
    let strike = PostOffice { on_strike: true, ..PostOffice::default() };
    let post = PostOffice::default();
    idempotency::with(Idempotency::memory(), async {
        tokio::select! {
            _ = welcome("Zoë", &strike) => unreachable!("the post office never answers"),
            () = strike.arrived.notified() => {}
        }
        assert_eq!(welcome("Zoë", &post).await?, 1);
        Ok(())
    })
    .await
}

async fn a_crash_is_taken_over_when_the_lease_is_over() -> Result<(), Error> {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    // Two handles on one storage are two processes, as far as the library can tell.
    let (dying, living) = (Idempotency::new(storage.clone())?, Idempotency::new(storage)?);

    let strike = PostOffice { on_strike: true, ..PostOffice::default() };
    let mut call = Box::pin(idempotency::with(dying, welcome("Zoë", &strike)));
    tokio::select! {
        _ = &mut call => unreachable!("the post office never answers"),
        () = strike.arrived.notified() => {}
    }
    // A process that dies drops nothing, and so releases nothing.
    std::mem::forget(call);

    let post = PostOffice::default();
    idempotency::with(living, async {
        // One that still lives is waited for, and this one says no more.
        let waiting = tokio::time::timeout(Duration::from_millis(50), welcome("Zoë", &post));
        assert!(waiting.await.is_err(), "it did not wait for the lease to end");
        clock.advance(Duration::from_secs(30));
        assert_eq!(welcome("Zoë", &post).await?, 1);
        Ok(())
    })
    .await
}

async fn without_its_storage_the_body_does_not_run() -> Result<(), Error> {
    let post = PostOffice::default();
    let storage = FaultyStorage::new(MemoryStorage::new());
    storage.faults().always(Verb::Claim, Fault::Refuse);
    let refused = idempotency::with(Idempotency::new(storage)?, welcome("Zoë", &post)).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Storage));
    assert_eq!(post.posted.load(SeqCst), 0);
    Ok(())
}

/// Makes a test of each check, and a main function that runs them all.
macro_rules! checks {
    ($($check:ident)*) => {
        #[cfg(test)]
        mod tests {
            $(#[tokio::test]
            async fn $check() -> Result<(), idempotency::Error> {
                super::$check().await
            })*
        }

        #[tokio::main]
        async fn main() -> Result<(), Error> {
            $($check().await?;
            println!("ok  {}", stringify!($check).replace('_', " "));)*
            Ok(())
        }
    };
}

checks! {
    a_second_call_gets_the_first_result
    calls_at_the_same_time_run_once
    hooks_count_what_was_replayed
    a_result_is_kept_for_its_ttl_and_no_longer
    a_cancelled_call_releases_its_key_at_once
    a_crash_is_taken_over_when_the_lease_is_over
    without_its_storage_the_body_does_not_run
}
