//! The serializer: streams a value into the buffer.

use std::fmt;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use super::compound::{Array, Object};
use super::error::{Error, Reason};
use super::members::Member;
use super::private::{Private, Struct};
use super::{number, string};

/// Arrays and objects inside one another: what `serde_json` reads back.
const MAX_DEPTH: u32 = 127;

/// Options and newtypes inside one another. They print nothing, but each of them takes stack.
const MAX_WRAPPERS: u32 = 512;

/// Returns the canonical JSON of `value`.
///
/// ```
/// use std::collections::HashMap;
///
/// let stock = HashMap::from([("pear", 1u64 << 60), ("apple", 2)]);
/// let json = idem_runtime::canonical::to_vec(&stock)?;
/// assert_eq!(json, br#"{"apple":2,"pear":1152921504606846976}"#);
/// # Ok::<(), idem_runtime::canonical::Error>(())
/// ```
///
/// # Errors
///
/// When the value has no canonical form: a float that is not finite, a name that occurs twice in one object, nesting
/// beyond the limit, or a `Serialize` implementation that fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, value)?;
    Ok(out)
}

/// Appends the canonical JSON of `value` to `out`, which is left as it was when that fails.
///
/// # Errors
///
/// As [`to_vec`].
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    write(out, &mut Vec::new(), value)
}

/// An output with what the writer needs beside it; kept between values, it spares their allocations.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) out: Vec<u8>,
    members: Vec<Member>,
}

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self { out: Vec::new(), members: Vec::new() }
    }

    pub(crate) fn append<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        write(&mut self.out, &mut self.members, value)
    }

    pub(crate) fn append_str(&mut self, text: &str) {
        string::write(&mut self.out, text);
    }

    /// How many bytes the buffers hold on to.
    pub(crate) fn capacity(&self) -> usize {
        self.out.capacity() + self.members.capacity() * size_of::<Member>()
    }
}

fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    members: &mut Vec<Member>,
    value: &T,
) -> Result<(), Error> {
    let before = out.len();
    members.clear();
    let written = value.serialize(&mut Writer { out, members, depth: 0, wrappers: 0 });
    if written.is_err() {
        out.truncate(before);
    }
    written
}

pub(super) struct Writer<'b> {
    pub(super) out: &'b mut Vec<u8>,
    /// The members so far of all objects that are open, the innermost object's last.
    pub(super) members: &'b mut Vec<Member>,
    depth: u32,
    wrappers: u32,
}

impl<'b> Writer<'b> {
    #[inline]
    pub(super) fn array<'w>(&'w mut self) -> Result<Array<'w, 'b>, Error> {
        self.enter()?;
        Ok(Array::begin(self))
    }

    #[inline]
    pub(super) fn object<'w>(&'w mut self) -> Result<Object<'w, 'b>, Error> {
        self.enter()?;
        Ok(Object::begin(self))
    }

    /// Opens the object that `serde_json` puts around the content of an enum variant: its only member is the variant.
    fn open_variant(&mut self, variant: &str) -> Result<(), Error> {
        self.enter()?;
        self.out.push(b'{');
        string::write(self.out, variant);
        self.out.push(b':');
        Ok(())
    }

    pub(super) fn close_variant(&mut self) {
        self.out.push(b'}');
        self.leave();
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Reason::TooDeep.into());
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn transparent<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.wrappers == MAX_WRAPPERS {
            return Err(Reason::TooDeep.into());
        }
        self.wrappers += 1;
        value.serialize(&mut *self)?;
        self.wrappers -= 1;
        Ok(())
    }
}

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
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
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

        impl fmt::Write for Escaping<'_> {
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
        self.array()
    }

    fn serialize_tuple(self, _len: usize) -> Result<Array<'w, 'b>, Error> {
        self.array()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Array<'w, 'b>, Error> {
        self.array()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Array<'w, 'b>, Error> {
        self.open_variant(variant)?;
        Ok(self.array()?.in_variant())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Object<'w, 'b>, Error> {
        self.object()
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Struct<'w, 'b>, Error> {
        Ok(match Private::named(name) {
            None => Struct::Object(self.object()?),
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
        Ok(self.object()?.in_variant())
    }
}
