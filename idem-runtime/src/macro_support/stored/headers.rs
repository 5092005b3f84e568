//! Maps with names and values in bytes, like `http::HeaderMap`.

use std::ops::Deref;

use serde::de::Error as _;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::{StoredAs, Stores};
use crate::engine::Source;

/// As pairs of a name and a value.
#[derive(Clone, Copy, Debug)]
pub struct AsHeaders;

/// Headers that are written as pairs, in which each byte of a value is one character.
#[derive(Clone, Debug)]
pub struct Headers<V>(V);

/// Names with values, as `http::HeaderMap` is.
pub trait HeaderMap: IntoIterator<Item = (Option<Self::Name>, Self::Value)> + Sized {
    /// The type of the names.
    type Name: AsRef<str> + for<'b> TryFrom<&'b [u8]>;
    /// The type of the values.
    type Value: AsRef<[u8]> + for<'b> TryFrom<&'b [u8]>;

    /// The pairs.
    fn pairs(&self) -> impl Iterator<Item = (&Self::Name, &Self::Value)>;

    /// Headers of pairs.
    fn of_pairs(pairs: Vec<(Self::Name, Self::Value)>) -> Self;
}

impl<V, N, X> HeaderMap for V
where
    V: IntoIterator<Item = (Option<N>, X)> + Extend<(N, X)> + Default,
    for<'v> &'v V: IntoIterator<Item = (&'v N, &'v X)>,
    N: AsRef<str> + for<'b> TryFrom<&'b [u8]>,
    X: AsRef<[u8]> + for<'b> TryFrom<&'b [u8]>,
{
    type Name = N;
    type Value = X;

    fn pairs(&self) -> impl Iterator<Item = (&N, &X)> {
        self.into_iter()
    }

    fn of_pairs(pairs: Vec<(N, X)>) -> Self {
        let mut headers = V::default();
        headers.extend(pairs);
        headers
    }
}

impl<V> Stores<V> for AsHeaders {
    type Stored = Headers<V>;
}

impl<V: HeaderMap> StoredAs<V> for AsHeaders {
    fn store(&self, value: V) -> Headers<V> {
        Headers(value)
    }

    fn restore(&self, Headers(value): Headers<V>, _source: Source) -> V {
        value
    }
}

impl<V> Deref for Headers<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V: HeaderMap> Serialize for Headers<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(None)?;
        for (name, value) in self.0.pairs() {
            let text: String = value.as_ref().iter().map(|byte| char::from(*byte)).collect();
            pairs.serialize_element(&(name.as_ref(), text))?;
        }
        pairs.end()
    }
}

impl<'de, V: HeaderMap> Deserialize<'de> for Headers<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        let pairs = pairs.iter().map(|(name, text)| {
            let name = V::Name::try_from(name.as_bytes()).ok()?;
            let bytes = text.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>().ok()?;
            Some((name, V::Value::try_from(&bytes).ok()?))
        });
        let pairs = pairs.collect::<Option<_>>();
        let pairs = pairs.ok_or_else(|| D::Error::custom("not the name or the value of a header"));
        Ok(Self(V::of_pairs(pairs?)))
    }
}
