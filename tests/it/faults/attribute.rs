//! Annotated functions that are called with what cannot be a key, a duration or a result.

use std::time::Duration;

use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Key};
use idempotency::idempotent;
use serde::{Serialize, de::DeserializeOwned};

use crate::stage::{Stage, TTL, kind};

on_every_backend!(
    values_that_make_no_key_are_refused_before_the_storage_and_the_body,
    arguments_that_cannot_be_hashed_are_refused_before_the_storage_and_the_body,
    tenants_that_are_none_are_refused_before_the_storage_and_the_body,
    durations_that_make_no_sense_are_refused_before_the_storage_and_the_body,
    results_that_cannot_be_stored_are_given_once_and_refused_to_duplicates,
    a_storage_that_is_down_is_an_error_of_the_functions_own_type,
);

#[idempotent(key = "charge:{user}:{order}", with = handle, skip(handle), name = "charge")]
async fn by_key(handle: &Idempotency, user: &str, order: u64) -> Result<String, Error> {
    Ok(format!("{user} {order}"))
}

#[idempotent(with = handle, skip(handle), name = "charge")]
async fn by_hash(handle: &Idempotency, amount: f64) -> Result<f64, Error> {
    Ok(amount)
}

#[idempotent(key = "k", tenant = tenant, with = handle, skip(handle), name = "charge")]
async fn by_tenant(handle: &Idempotency, tenant: &str) -> Result<String, Error> {
    Ok(tenant.to_owned())
}

#[idempotent(key = "k", ttl = ttl, lease = lease, wait = Duration::MAX, with = handle, skip(handle, ttl, lease), name = "charge")]
async fn lasting(handle: &Idempotency, ttl: Duration, lease: Duration) -> Result<u32, Error> {
    let _ = (ttl, lease);
    Ok(1)
}

#[idempotent(key = "k", with = handle, skip(handle, value), name = "charge")]
async fn giving<T: Serialize + DeserializeOwned + Clone + Send + Sync>(
    handle: &Idempotency,
    value: T,
) -> Result<T, Error> {
    Ok(value)
}

async fn values_that_make_no_key_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    let long = "secret".repeat(100);
    for (user, reason) in
        [("", "`user` is empty"), (long.as_str(), "`user` makes the key too long")]
    {
        let error = by_key(&process.idem, user, 7).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::KeyGeneration, Some("charge")));
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    // What merely looks like another key is one of its own.
    for (user, order) in [("a:1", 2), ("a\n", 2), ("%", 2), ("\u{1f511}", 2)] {
        assert_eq!(by_key(&process.idem, user, order).await.unwrap(), format!("{user} {order}"));
    }
    let fits = "x".repeat(Key::MAX_LEN - "charge:():(7)".len());
    assert_eq!(by_key(&process.idem, &fits, 7).await.unwrap(), format!("{fits} 7"));
}

async fn arguments_that_cannot_be_hashed_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    for amount in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = by_hash(&process.idem, amount).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::KeyGeneration, Some("charge")));
    }
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(by_hash(&process.idem, f64::MAX).await.unwrap().to_bits(), f64::MAX.to_bits());
}

async fn tenants_that_are_none_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    for tenant in ["", &"t".repeat(129)] {
        assert_eq!(kind(by_tenant(&process.idem, tenant).await), ErrorKind::KeyGeneration);
    }
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(by_tenant(&process.idem, "\0").await.unwrap(), "\0");
}

async fn durations_that_make_no_sense_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    for (ttl, lease) in [(Duration::ZERO, TTL), (TTL, Duration::ZERO), (TTL, TTL * 2)] {
        let refused = lasting(&process.idem, ttl, lease).await;
        assert_eq!(kind(refused), ErrorKind::Configuration, "{ttl:?} {lease:?}");
    }
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(lasting(&process.idem, Duration::MAX, Duration::MAX).await.unwrap(), 1);
}

async fn results_that_cannot_be_stored_are_given_once_and_refused_to_duplicates(stage: Stage) {
    let small = |size| stage.process_with(move |builder| builder.max_result_size(size));
    let process = small(10).await;
    let text = "secret".repeat(3);
    assert_eq!(giving(&process.idem, text.clone()).await.unwrap(), text);
    let error = giving(&process.idem, text).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    assert_eq!(process.heard.unrecorded(), 1);

    // No result fits where there is no room at all, and that is no reason to run twice.
    let nothing = small(0).await;
    let other = nothing.charge("none").run(async { Ok::<_, Error>(()) });
    other.await.unwrap();
    let again = nothing.charge("none").run(async { Ok::<_, Error>(()) });
    assert_eq!(kind(again.await), ErrorKind::TooLarge);
}

async fn a_storage_that_is_down_is_an_error_of_the_functions_own_type(stage: Stage) {
    #[derive(Debug, PartialEq)]
    enum Declined {
        Ours(ErrorKind),
    }
    impl std::fmt::Display for Declined {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }
    #[idempotent(key = "k", with = handle, skip(handle), map_err = |error| Declined::Ours(error.kind()))]
    async fn charge(handle: &Idempotency) -> Result<u32, Declined> {
        Ok(1)
    }
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::Fail(StorageErrorKind::Full));
    assert_eq!(charge(&process.idem).await, Err(Declined::Ours(ErrorKind::Storage)));
    assert_eq!(charge(&process.idem).await, Ok(1));
}
