//! A serializer wrapper that refuses values which would not read back unchanged.
//!
//! `serde_json` writes NaN and the infinities as `null`, so that `Some(f64::NAN)` would be replayed
//! as `None`. JSON and MessagePack both write `Some(())` and `Some(None)` as they write `None`, and
//! they write values of any depth but limit the depth on reading, to protect the stack. A result
//! that cannot be stored faithfully is an error instead.

use std::fmt::Display;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value or a serializer, with the restrictions of its format.
pub(super) struct Faithful<T>(pub(super) T, pub(super) Format);

/// Writes JSON that reads back as the same value.
pub fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), serde_json::Error> {
    serde_json::to_writer(out, &Faithful(value, Format::JSON))
}

/// Nesting limit of sequences, maps and enums: that of `serde_json`'s parser.
pub(super) const MAX_DEPTH: u8 = 127;

/// The capabilities of a format, and the position in the value.
#[derive(Clone, Copy)]
pub(super) struct Format {
    has_nan: bool,
    /// The depth of the value.
    depth: u8,
    /// The value is inside a `Some`, where unit and `None` would read back as an outer `None`.
    inside_some: bool,
}

impl Format {
    const JSON: Self = Self { has_nan: false, depth: 0, inside_some: false };
    #[cfg(feature = "msgpack")]
    pub(super) const MSGPACK: Self = Self { has_nan: true, depth: 0, inside_some: false };

    fn inside_some(self) -> Self {
        Self { inside_some: true, ..self }
    }

    /// The same format, `levels` deeper.
    fn inside<E: Error>(self, levels: u8) -> Result<Self, E> {
        let depth = self.depth + levels;
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!(
                "the result is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        Ok(Self { inside_some: false, depth, ..self })
    }

    fn float<E: Error>(self, is_finite: bool) -> Result<(), E> {
        if is_finite || self.has_nan {
            return Ok(());
        }
        Err(E::custom("JSON has no NaN and no infinity"))
    }

    fn nothing<E: Error>(self) -> Result<(), E> {
        if self.inside_some {
            return Err(E::custom("the format cannot tell nothing inside of `Some` from `None`"));
        }
        Ok(())
    }
}

impl<T: Serialize + ?Sized> Serialize for Faithful<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Faithful(serializer, self.1))
    }
}

macro_rules! forward {
    ($($method:ident($type:ty)),+ $(,)?) => {
        $(fn $method(self, value: $type) -> Result<Self::Ok, Self::Error> {
            self.0.$method(value)
        })+
    };
}

impl<S: Serializer> Serializer for Faithful<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Faithful<S::SerializeSeq>;
    type SerializeTuple = Faithful<S::SerializeTuple>;
    type SerializeTupleStruct = Faithful<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Faithful<S::SerializeTupleVariant>;
    type SerializeMap = Faithful<S::SerializeMap>;
    type SerializeStruct = Faithful<S::SerializeStruct>;
    type SerializeStructVariant = Faithful<S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.1.float(value.is_finite())?;
        self.0.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.1.float(value.is_finite())?;
        self.0.serialize_f64(value)
    }

    forward! {
        serialize_bool(bool),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_i128(i128),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_u128(u128),
        serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.1.nothing()?;
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Faithful(value, self.1.inside_some()))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.1.nothing()?;
        self.0.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.1.nothing()?;
        self.0.serialize_unit_struct(name)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Faithful(value, self.1))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let inside = self.1.inside(1)?;
        self.0.serialize_newtype_variant(name, index, variant, &Faithful(value, inside))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let inside = self.1.inside(1)?;
        Ok(Faithful(self.0.serialize_seq(len)?, inside))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let inside = self.1.inside(1)?;
        Ok(Faithful(self.0.serialize_tuple(len)?, inside))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let inside = self.1.inside(1)?;
        Ok(Faithful(self.0.serialize_tuple_struct(name, len)?, inside))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let inside = self.1.inside(2)?;
        Ok(Faithful(self.0.serialize_tuple_variant(name, index, variant, len)?, inside))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let inside = self.1.inside(1)?;
        Ok(Faithful(self.0.serialize_map(len)?, inside))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let inside = self.1.inside(1)?;
        Ok(Faithful(self.0.serialize_struct(name, len)?, inside))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let inside = self.1.inside(2)?;
        Ok(Faithful(self.0.serialize_struct_variant(name, index, variant, len)?, inside))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! compound {
    ($($trait:ident::$method:ident($($name:ident)?)),+ $(,)?) => {
        $(impl<S: $trait> $trait for Faithful<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.$method($($name,)? &Faithful(value, self.1))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })+
    };
}

compound! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(name),
    SerializeStructVariant::serialize_field(name),
}

impl<S: SerializeMap> SerializeMap for Faithful<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(&Faithful(key, self.1))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Faithful(value, self.1))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
