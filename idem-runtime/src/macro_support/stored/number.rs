//! Values that convert to and from a number, like `http::StatusCode`.

use std::ops::Deref;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::{StoredAs, Stores};
use crate::engine::Source;

/// As the number that it converts to.
#[derive(Clone, Copy, Debug)]
pub struct AsNumber;

/// A value that is written as a number.
#[derive(Clone, Copy, Debug)]
pub struct Number<V>(V);

impl<V: Copy> Stores<V> for AsNumber {
    type Stored = Number<V>;
}

impl<V: TryFrom<u16> + Copy + PartialEq> StoredAs<V> for AsNumber
where
    u16: From<V>,
{
    fn store(&self, value: V) -> Number<V> {
        Number(value)
    }

    fn restore(&self, Number(value): Number<V>, _source: Source) -> V {
        value
    }
}

impl<V> Deref for Number<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V: TryFrom<u16> + Copy + PartialEq> Serialize for Number<V>
where
    u16: From<V>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = u16::from(self.0);
        if V::try_from(number).is_ok_and(|value| value == self.0) {
            serializer.serialize_u16(number)
        } else {
            Err(S::Error::custom("the number of the value is not read back as the same value"))
        }
    }
}

impl<'de, V: TryFrom<u16>> Deserialize<'de> for Number<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        let value = V::try_from(number);
        value.map(Self).map_err(|_| D::Error::custom("the number stands for no value"))
    }
}
