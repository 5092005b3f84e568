//! G7: whatever changes which effect is meant is part of the fingerprint and of the default key: the instance of a generic function, `Self`, the
//! module.

use std::collections::BTreeSet;
use std::fmt::Display;

use idem_runtime::{Error, ErrorKind, Idempotency};
use idempotency::idempotent;

use crate::stage::Stage;

on_every_backend!(
    instances_run_each_for_themselves,
    instances_with_one_explicit_key_are_a_mismatch,
    functions_of_one_name_in_two_modules_are_a_mismatch_unless_they_are_named,
    a_method_that_is_named_may_be_renamed_and_keeps_its_type,
    types_without_a_name_are_refused_and_not_merged,
    duplicates_of_an_instance_are_replayed,
);

trait Channel {
    const NAME: &str;

    #[idempotent(with = idem, skip(idem))]
    async fn ping(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("ping {} {user}", Self::NAME))
    }
}

trait Other {
    async fn greet(&self, idem: &Idempotency, user: u64) -> Result<String, Error>;
}

struct Email;
struct Sms;

impl Channel for Email {
    const NAME: &str = "email";
}

impl Channel for Sms {
    const NAME: &str = "sms";
}

#[idempotent(with = idem, skip(idem))]
async fn notify<C: Channel>(idem: &Idempotency, user: u64) -> Result<String, Error> {
    Ok(format!("{} {user}", C::NAME))
}

#[idempotent(key = "notify:{user}", with = idem, skip(idem))]
async fn notify_once<C: Channel>(idem: &Idempotency, user: u64) -> Result<String, Error> {
    Ok(format!("{} {user}", C::NAME))
}

#[idempotent(with = idem, skip(idem), name = "notify", instance = C::NAME)]
async fn notify_named<C: Channel>(idem: &Idempotency, user: u64) -> Result<String, Error> {
    Ok(format!("named {} {user}", C::NAME))
}

#[idempotent(with = idem, skip(idem))]
async fn numbered<const N: i8, const C: char>(idem: &Idempotency) -> Result<String, Error> {
    Ok(format!("{N} {C}"))
}

#[idempotent(with = idem, skip(idem, shown))]
async fn skipping(idem: &Idempotency, shown: impl Display) -> Result<String, Error> {
    Ok(format!("skipping {shown}"))
}

#[idempotent(with = idem, skip(idem, text))]
async fn calling(idem: &Idempotency, text: impl Fn() -> String) -> Result<String, Error> {
    Ok(text())
}

#[idempotent(with = idem, skip(idem, text), instance = "says")]
async fn saying(idem: &Idempotency, text: impl Fn() -> String) -> Result<String, Error> {
    Ok(text())
}

struct Service<T>(T);

impl<T: Channel> Service<T> {
    #[idempotent(with = idem, skip(idem))]
    async fn create(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("service of {} for {user}", T::NAME))
    }

    #[idempotent(with = idem, skip(idem))]
    async fn send(&self, idem: &Idempotency, user: u64) -> Result<String, Error> {
        let _ = &self.0;
        Ok(format!("sent by {} to {user}", T::NAME))
    }

    #[idempotent(key = "end:{user}", with = idem, skip(idem), name = "end")]
    async fn end(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("{} ended for {user}", T::NAME))
    }

    #[idempotent(key = "end:{user}", with = idem, skip(idem), name = "end")]
    async fn end_with_another_name(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("{} ended again for {user}", T::NAME))
    }
}

/// A type with methods of the same names as others of this module.
macro_rules! account {
    ($name:ident) => {
        struct $name;

        impl $name {
            #[idempotent(with = idem, skip(idem))]
            async fn create(idem: &Idempotency, user: u64) -> Result<String, Error> {
                Ok(format!("{} {user}", stringify!($name)))
            }

            #[idempotent(with = idem, skip(idem))]
            async fn greet(&self, idem: &Idempotency, user: u64) -> Result<String, Error> {
                Ok(format!("{} greets {user}", stringify!($name)))
            }
        }

        impl Other for $name {
            #[idempotent(with = idem, skip(idem))]
            async fn greet(&self, idem: &Idempotency, user: u64) -> Result<String, Error> {
                Ok(format!("the other {} greets {user}", stringify!($name)))
            }
        }
    };
}

account!(Savings);
account!(Current);

async fn nested_in_one(idem: &Idempotency) -> Result<String, Error> {
    #[idempotent(with = idem, skip(idem))]
    async fn nested(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("one {user}"))
    }
    nested(idem, 7).await
}

async fn nested_in_two(idem: &Idempotency) -> Result<String, Error> {
    #[idempotent(with = idem, skip(idem))]
    async fn nested(idem: &Idempotency, user: u64) -> Result<String, Error> {
        Ok(format!("two {user}"))
    }
    nested(idem, 7).await
}

mod orders {
    use super::*;

    #[idempotent(key = "create:{id}", with = idem, skip(idem))]
    pub(super) async fn create(idem: &Idempotency, id: u64) -> Result<String, Error> {
        Ok(format!("order {id}"))
    }

    #[idempotent(key = "made:{id}", with = idem, skip(idem), name = "make")]
    pub(super) async fn make(idem: &Idempotency, id: u64) -> Result<String, Error> {
        Ok(format!("order {id}"))
    }
}

mod refunds {
    use super::*;

    #[idempotent(key = "create:{id}", with = idem, skip(idem))]
    pub(super) async fn create(idem: &Idempotency, id: u64) -> Result<String, Error> {
        Ok(format!("refund {id}"))
    }

    #[idempotent(key = "made:{id}", with = idem, skip(idem), name = "make")]
    pub(super) async fn make(idem: &Idempotency, id: u64) -> Result<String, Error> {
        Ok(format!("refund {id}"))
    }
}

async fn instances_run_each_for_themselves(stage: Stage) {
    let idem = &stage.process().await.idem;
    let values = [
        notify::<Email>(idem, 7).await,
        notify::<Sms>(idem, 7).await,
        notify_named::<Email>(idem, 7).await,
        notify_named::<Sms>(idem, 7).await,
        numbered::<1, 'a'>(idem).await,
        numbered::<-1, 'a'>(idem).await,
        numbered::<1, '>'>(idem).await,
        skipping(idem, 5_u8).await,
        skipping(idem, "text").await,
        Email::ping(idem, 7).await,
        Sms::ping(idem, 7).await,
        Service::<Email>::create(idem, 7).await,
        Service::<Sms>::create(idem, 7).await,
        Service(Email).send(idem, 7).await,
        Service(Sms).send(idem, 7).await,
        Savings::create(idem, 7).await,
        Current::create(idem, 7).await,
        Savings.greet(idem, 7).await,
        Current.greet(idem, 7).await,
        Other::greet(&Savings, idem, 7).await,
        Other::greet(&Current, idem, 7).await,
        nested_in_one(idem).await,
        nested_in_two(idem).await,
    ];
    let count = values.len();
    let values: BTreeSet<_> = values.into_iter().map(Result::unwrap).collect();
    assert_eq!(values.len(), count, "{values:?}");
}

async fn instances_with_one_explicit_key_are_a_mismatch(stage: Stage) {
    let idem = &stage.process().await.idem;
    assert_eq!(notify_once::<Email>(idem, 7).await.unwrap(), "email 7");
    let error = notify_once::<Sms>(idem, 7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(notify_once::<Sms>(idem, 8).await.unwrap(), "sms 8");
}

async fn functions_of_one_name_in_two_modules_are_a_mismatch_unless_they_are_named(stage: Stage) {
    let idem = &stage.process().await.idem;
    assert_eq!(orders::create(idem, 7).await.unwrap(), "order 7");
    assert_eq!(refunds::create(idem, 7).await.unwrap_err().kind(), ErrorKind::Mismatch);
    // A name is the user's, so that a function may move to another module.
    assert_eq!(orders::make(idem, 7).await.unwrap(), "order 7");
    assert_eq!(refunds::make(idem, 7).await.unwrap(), "order 7");
}

async fn a_method_that_is_named_may_be_renamed_and_keeps_its_type(stage: Stage) {
    type OfEmail = Service<Email>;

    let idem = &stage.process().await.idem;
    assert_eq!(OfEmail::end(idem, 7).await.unwrap(), "email ended for 7");
    assert_eq!(OfEmail::end_with_another_name(idem, 7).await.unwrap(), "email ended for 7");
    let other = Service::<Sms>::end(idem, 7).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch);
}

async fn types_without_a_name_are_refused_and_not_merged(stage: Stage) {
    let idem = &stage.process().await.idem;
    for text in ["a", "b"] {
        let error = calling(idem, || text.to_owned()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyGeneration);
        assert!(error.to_string().contains("`instance`"), "{error}");
    }
    assert_eq!(saying(idem, || "a".to_owned()).await.unwrap(), "a");
    assert_eq!(saying(idem, || "b".to_owned()).await.unwrap(), "a", "as the user has said");
}

async fn duplicates_of_an_instance_are_replayed(stage: Stage) {
    for (text, process) in [("first", stage.process().await), ("second", stage.process().await)] {
        let idem = &process.idem;
        // The argument is skipped: if the body ran again, it would give another text.
        assert_eq!(skipping(idem, text).await.unwrap(), "skipping first");
        assert_eq!(notify::<Sms>(idem, 9).await.unwrap(), "sms 9");
    }
}
