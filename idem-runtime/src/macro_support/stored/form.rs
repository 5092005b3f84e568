//! Forms: how a value is stored.

use std::convert::Infallible;

use crate::engine::{Outcome, Source};
use crate::policy::Storable;

/// The stored type of a `V`. A `V` that cannot be stored has one too, for the types of `store_if`.
pub trait Stores<V>: Copy {
    /// The type in a record.
    type Stored;
}

/// How a `V` is stored.
pub trait StoredAs<V>: Stores<V> {
    /// The stored form of `value`.
    fn store(&self, value: V) -> Self::Stored;

    /// The value of a call whose result comes from `source`.
    fn restore(&self, stored: Self::Stored, source: Source) -> V;
}

/// A value that a replay can give back, stored as `F` says.
#[diagnostic::on_unimplemented(
    message = "a result of the type `{Self}` cannot be stored and replayed\n\n= help: derive `serde::Serialize` and \
               `serde::Deserialize` for it, or for the `T` of an `Outcome<T>` or a `Json<T>`, without borrowed data",
    label = "results have to be `Serialize` and `DeserializeOwned`"
)]
pub trait Replayable<F> {}

#[diagnostic::do_not_recommend]
impl<V, F: StoredAs<V>> Replayable<F> for V {}

/// Requires a value that can be replayed, and returns its form.
pub fn stored_as<V: Replayable<F>, F>(form: F) -> F {
    form
}

/// A part of a value, in the place of a result.
pub type Part<T> = Result<T, Infallible>;

/// Gives the closure of `store_if` the type that it is called with.
pub fn store_if<V, F: Stores<V>, P: Fn(&F::Stored) -> bool>(_form: F, keeps: P) -> P {
    keeps
}

/// As it serializes.
#[derive(Clone, Copy, Debug)]
pub struct AsItself;

impl<V> Stores<V> for AsItself {
    type Stored = V;
}

impl<V: Storable> StoredAs<V> for AsItself {
    fn store(&self, value: V) -> V {
        value
    }

    fn restore(&self, stored: V, _source: Source) -> V {
        stored
    }
}

/// As its content, which is stored as `F` says.
#[derive(Clone, Copy, Debug)]
pub struct Inside<F>(pub F);

impl<T, F: Stores<T>> Stores<Option<T>> for Inside<F> {
    type Stored = Option<F::Stored>;
}

impl<T, F: StoredAs<T>> StoredAs<Option<T>> for Inside<F> {
    fn store(&self, value: Option<T>) -> Option<F::Stored> {
        value.map(|value| self.0.store(value))
    }

    fn restore(&self, stored: Option<F::Stored>, source: Source) -> Option<T> {
        stored.map(|stored| self.0.restore(stored, source))
    }
}

impl<T, F: Stores<T>> Stores<Outcome<T>> for Inside<F> {
    type Stored = F::Stored;
}

impl<T, F: StoredAs<T>> StoredAs<Outcome<T>> for Inside<F> {
    fn store(&self, value: Outcome<T>) -> F::Stored {
        self.0.store(value.into_value())
    }

    fn restore(&self, stored: F::Stored, source: Source) -> Outcome<T> {
        Outcome { value: self.0.restore(stored, source), source }
    }
}

macro_rules! tuples {
    ($(($($form:ident $part:ident $stored:ident),*);)*) => {$(
        impl<$($form: Stores<$part>, $part),*> Stores<($($part,)*)> for ($($form,)*) {
            type Stored = ($($form::Stored,)*);
        }

        impl<$($form: StoredAs<$part>, $part),*> StoredAs<($($part,)*)> for ($($form,)*) {
            #[expect(non_snake_case, reason = "a name for each part")]
            fn store(&self, ($($part,)*): ($($part,)*)) -> Self::Stored {
                let ($($form,)*) = self;
                ($($form.store($part),)*)
            }

            #[expect(non_snake_case, reason = "a name for each part")]
            fn restore(&self, ($($stored,)*): Self::Stored, source: Source) -> ($($part,)*) {
                let ($($form,)*) = self;
                ($($form.restore($stored, source),)*)
            }
        }
    )*};
}

tuples! {
    (F A X, G B Y);
    (F A X, G B Y, H C Z);
}

/// Cannot be stored.
#[derive(Clone, Copy, Debug)]
pub struct Unstorable;

/// Cannot be stored, and that has been reported of a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Reported;

impl<V> Stores<V> for Unstorable {
    type Stored = V;
}

impl<V> Stores<V> for Reported {
    type Stored = V;
}

/// Prevents a second report. `Callable` does not accept it, because `V` is not [`Storable`].
impl<V> StoredAs<V> for Reported {
    fn store(&self, value: V) -> V {
        value
    }

    fn restore(&self, stored: V, _source: Source) -> V {
        stored
    }
}
