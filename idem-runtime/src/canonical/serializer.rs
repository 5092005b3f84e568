//! The canonical form of each kind of value in serde's data model.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use super::compound::{Array, Object};
use super::error::{Error, Reason};
use super::private::{Private, Struct};
use super::writer::Writer;
use super::{number, sets, string};

macro_rules! integers {
    ($($method:ident($type:ty))*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Error> {
            number::write_integer(self.out, value);
            Ok(())
        }
    )*};
}

impl<'w, 'b> Serializer for &'w mut Writer<'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Array<'w, 'b>;
    type SerializeTuple = Array<'w, 'b>;
    type SerializeTupleStruct = Array<'w, 'b>;
    type SerializeTupleVariant = Array<'w, 'b>;
    type SerializeMap = Object<'w, 'b>;
    type SerializeStruct = Struct<'w, 'b>;
    type SerializeStructVariant = Object<'w, 'b>;

    integers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32)
        serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32)
        serialize_u64(u64) serialize_u128(u128)
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        number::write_float(self.out, value, value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        number::write_float(self.out, value, value.is_finite())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        string::write(self.out, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        string::write(self.out, value);
        Ok(())
    }

    /// Dates, ids and the like: written in place instead of through a `String`.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        struct Escaping<'o>(&'o mut Vec<u8>);

        impl Write for Escaping<'_> {
            fn write_str(&mut self, part: &str) -> fmt::Result {
                string::write_escaped(self.0, part);
                Ok(())
            }
        }

        self.out.push(b'"');
        write!(Escaping(self.out), "{value}")
            .map_err(|_| Reason::Serialize("a Display implementation failed".to_owned()))?;
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.out.push(b'[');
        for (index, byte) in value.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            number::write_integer(self.out, *byte);
        }
        self.out.push(b']');
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.transparent(value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.transparent(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.close_variant();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Array<'w, 'b>, Error> {
        Array::begin(self)
    }

    fn collect_seq<I>(self, elements: I) -> Result<(), Error>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        if sets::is_hash_set::<I>() {
            return sets::write(self, elements);
        }
        let mut array = Array::begin(self)?;
        elements.into_iter().try_for_each(|element| element.serialize(array.element()))?;
        array.close();
        Ok(())
    }

    fn serialize_tuple(self, _len: usize) -> Result<Array<'w, 'b>, Error> {
        Array::begin(self)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Array<'w, 'b>, Error> {
        Array::begin(self)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Array<'w, 'b>, Error> {
        self.open_variant(variant)?;
        Ok(Array::begin(self)?.in_variant())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Object<'w, 'b>, Error> {
        Object::begin(self)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Struct<'w, 'b>, Error> {
        Ok(match Private::named(name) {
            None => Struct::Object(Object::begin(self)?),
            Some(private) => Struct::private(self, private),
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Object<'w, 'b>, Error> {
        self.open_variant(variant)?;
        Ok(Object::begin(self)?.in_variant())
    }
}
