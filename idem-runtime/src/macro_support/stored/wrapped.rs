//! Wrappers, which hold one value and nothing else, like a web framework's `Json<T>`.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::{StoredAs, Stores};
use crate::engine::Source;
use crate::macro_support::argument::holds_nothing_else;
use crate::policy::Storable;

/// As the field of a tuple struct: its constructor, and a function that destructures it.
#[derive(Clone, Copy, Debug)]
pub struct AsField<M, T> {
    make: M,
    take: T,
}

impl<V, H, M, T> Stores<V> for AsField<M, T>
where
    M: Fn(H) -> V + Copy,
    T: Fn(V) -> H + Copy,
{
    type Stored = H;
}

impl<V, H: Storable, M, T> StoredAs<V> for AsField<M, T>
where
    M: Fn(H) -> V + Copy,
    T: Fn(V) -> H + Copy,
{
    fn store(&self, value: V) -> H {
        (self.take)(value)
    }

    fn restore(&self, stored: H, _source: Source) -> V {
        (self.make)(stored)
    }
}

/// The field of a wrapper that the signature names.
///
/// The expansion imports everything in this module, and then the wrapper by its written path as
/// `__IdemWrapper`. The constructor of a tuple struct shadows the stand-in below. Another type has
/// no constructor: then the stand-in's is used, its types do not fit, and method lookup goes on to
/// the next choice.
pub mod wrapper {
    use super::AsField;

    /// A stand-in for a constructor.
    #[derive(Debug)]
    pub struct __IdemWrapper<T>(pub T);

    /// As the field of a `W`.
    pub fn __idem_field<W, M, T>(make: M, take: T) -> AsField<M, T> {
        AsField { make, take }
    }
}

/// As its deref target.
#[derive(Clone, Copy, Debug)]
pub struct AsTarget;

/// A wrapper, or its content that was read from a record.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "not public API")]
pub enum WrapperOrContent<V, T> {
    /// The wrapper.
    Whole(V),
    /// Its content.
    Content(T),
}

impl<V: Deref<Target: Sized>> Stores<V> for AsTarget {
    type Stored = WrapperOrContent<V, V::Target>;
}

impl<V> StoredAs<V> for AsTarget
where
    V: Deref<Target: Storable + Sized> + From<V::Target>,
{
    fn store(&self, value: V) -> WrapperOrContent<V, V::Target> {
        const {
            assert!(
                holds_nothing_else::<V>(),
                "a result holds more than it derefs to, so a replay could not give all of it back\n\n= help: derive \
                 `serde::Serialize` and `serde::Deserialize` for it, or return what it holds"
            );
        }
        WrapperOrContent::Whole(value)
    }

    fn restore(&self, stored: WrapperOrContent<V, V::Target>, _source: Source) -> V {
        match stored {
            WrapperOrContent::Whole(value) => value,
            WrapperOrContent::Content(content) => V::from(content),
        }
    }
}

impl<V: Deref<Target = T>, T> Deref for WrapperOrContent<V, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Whole(value) => value,
            Self::Content(content) => content,
        }
    }
}

impl<V: Deref<Target = T>, T: Serialize> Serialize for WrapperOrContent<V, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, V, T: DeserializeOwned> Deserialize<'de> for WrapperOrContent<V, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Content)
    }
}
