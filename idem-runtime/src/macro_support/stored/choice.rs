//! The choice of the form in which a value is stored.

use std::marker::PhantomData;
use std::ops::Deref;

use super::form::{AsItself, Inside, Reported, StoredAs, Unstorable};
use super::headers::AsHeaders;
use super::number::AsNumber;
use super::wrapped::{AsField, AsTarget};
use crate::engine::Outcome;
use crate::policy::Storable;

choices! {
    [R, H]
    /// First choice: as it serializes.
    Value => Parts;
    /// As the signature writes it.
    Parts => Converted;
    /// As a number.
    Converted => HeaderFields;
    /// As headers.
    HeaderFields => Wrapped;
    /// As its deref target.
    Wrapped => WithStatus;
    /// As a number and the second part's deref target.
    WithStatus => WithStatusAsItself;
    /// As a number and the second part itself.
    WithStatusAsItself => ReportedPart;
    /// Not at all, because of a part of it.
    ReportedPart => NoChoice;
}

/// Not at all: the value of a result `R`. `H` is the hint from the signature: the form of its field
/// or of its parts, or `()`.
#[derive(Debug)]
pub struct NoChoice<R, H> {
    hint: H,
    result: PhantomData<fn() -> R>,
}

impl<R, H> Value<R, H> {
    /// The choices for the value of an `R`.
    pub fn new(hint: H) -> Self {
        let last = ReportedPart(NoChoice { hint, result: PhantomData });
        Self(Parts(Converted(HeaderFields(Wrapped(WithStatus(WithStatusAsItself(last)))))))
    }
}

macro_rules! tuples {
    ($(($($form:ident $part:ident),*);)*) => {$(
        impl<$($form: StoredAs<$part>, $part,)* E> Parts<Result<($($part,)*), E>, ($($form,)*)> {
            /// Part by part.
            pub fn stored_as(&self) -> ($($form,)*) {
                self.hint
            }
        }

        impl<R, $($form),*> ReportedPart<R, ($($form,)*)> {
            /// Nothing: the part is reported.
            pub fn stored_as(&self) -> Reported {
                Reported
            }
        }
    )*};
}

tuples! {
    (F A, G B);
    (F A, G B, H C);
}

impl<V: Storable, E, H> Value<Result<V, E>, H> {
    /// As it serializes.
    pub fn stored_as(&self) -> AsItself {
        AsItself
    }
}

impl<V, E, M: Copy, T: Copy> Parts<Result<V, E>, AsField<M, T>>
where
    AsField<M, T>: StoredAs<V>,
{
    /// As its field.
    pub fn stored_as(&self) -> AsField<M, T> {
        self.hint
    }
}

impl<T, E, F: StoredAs<T>> Parts<Result<Option<T>, E>, Inside<F>> {
    /// As its content.
    pub fn stored_as(&self) -> Inside<F> {
        self.hint
    }
}

impl<T, E, F: StoredAs<T>> Parts<Result<Outcome<T>, E>, Inside<F>> {
    /// As its value.
    pub fn stored_as(&self) -> Inside<F> {
        self.hint
    }
}

impl<T: Storable, E> Parts<Result<Outcome<T>, E>, ()> {
    /// As its value.
    pub fn stored_as(&self) -> Inside<AsItself> {
        Inside(AsItself)
    }
}

impl<V, E, H> Converted<Result<V, E>, H>
where
    AsNumber: StoredAs<V>,
{
    /// As a number.
    pub fn stored_as(&self) -> AsNumber {
        AsNumber
    }
}

impl<V, E, H> HeaderFields<Result<V, E>, H>
where
    AsHeaders: StoredAs<V>,
{
    /// As headers.
    pub fn stored_as(&self) -> AsHeaders {
        AsHeaders
    }
}

impl<V: Deref, E, H> Wrapped<Result<V, E>, H>
where
    AsTarget: StoredAs<V>,
{
    /// As what it derefs to.
    pub fn stored_as(&self) -> AsTarget {
        AsTarget
    }
}

impl<T, E, H> Wrapped<Result<Outcome<T>, E>, H>
where
    AsTarget: StoredAs<T>,
{
    /// As what its value derefs to.
    pub fn stored_as(&self) -> Inside<AsTarget> {
        Inside(AsTarget)
    }
}

impl<S, T, E> WithStatus<Result<(S, T), E>, ()>
where
    AsNumber: StoredAs<S>,
    AsTarget: StoredAs<T>,
{
    /// As a number and what the second part derefs to.
    pub fn stored_as(&self) -> (AsNumber, AsTarget) {
        (AsNumber, AsTarget)
    }
}

impl<S, T: Storable, E> WithStatusAsItself<Result<(S, T), E>, ()>
where
    AsNumber: StoredAs<S>,
{
    /// As a number and the second part itself.
    pub fn stored_as(&self) -> (AsNumber, AsItself) {
        (AsNumber, AsItself)
    }
}

impl<R> ReportedPart<R, Inside<Unstorable>> {
    /// Nothing: the content is reported.
    pub fn stored_as(&self) -> Reported {
        Reported
    }
}

impl<T, E> ReportedPart<Result<Outcome<T>, E>, ()> {
    /// Nothing: the value cannot be stored.
    pub fn stored_as(&self) -> Inside<Unstorable> {
        Inside(Unstorable)
    }
}

impl<R, H> NoChoice<R, H> {
    /// Nothing.
    pub fn stored_as(&self) -> Unstorable {
        Unstorable
    }
}
