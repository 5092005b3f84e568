//! Writers of arrays and objects.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant,
};

use super::error::{Error, Reason};
use super::members::{self, Member, Name};
use super::string;
use super::writer::Writer;

pub(super) struct Array<'w, 'b> {
    writer: &'w mut Writer<'b>,
    empty: bool,
    in_variant: bool,
}

impl<'w, 'b> Array<'w, 'b> {
    #[inline]
    pub(super) fn begin(writer: &'w mut Writer<'b>) -> Result<Self, Error> {
        writer.enter()?;
        writer.out.push(b'[');
        Ok(Self { writer, empty: true, in_variant: false })
    }

    pub(super) fn in_variant(mut self) -> Self {
        self.in_variant = true;
        self
    }

    #[inline]
    pub(super) fn element(&mut self) -> &mut Writer<'b> {
        if !self.empty {
            self.writer.out.push(b',');
        }
        self.empty = false;
        self.writer
    }

    #[inline]
    pub(super) fn writer(&mut self) -> &mut Writer<'b> {
        self.writer
    }

    #[inline]
    pub(super) fn close(self) {
        self.writer.out.push(b']');
        self.writer.leave();
        if self.in_variant {
            self.writer.close_variant();
        }
    }
}

macro_rules! array {
    ($($trait:ident::$method:ident)*) => {$(
        impl $trait for Array<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(self.element())
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}

array! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// Writes members as they arrive and remembers their positions. Members that arrive in order (a
/// `BTreeMap`, a struct with sorted fields) need nothing more; otherwise closing the object sorts
/// them.
pub(super) struct Object<'w, 'b> {
    writer: &'w mut Writer<'b>,
    /// Where in the output the first member begins.
    start: usize,
    /// Where in the writer's stack this object's members begin.
    base: usize,
    in_order: bool,
    in_variant: bool,
    /// The name of a map's member without its value yet.
    pending: Option<Name>,
}

impl<'w, 'b> Object<'w, 'b> {
    #[inline]
    pub(super) fn begin(writer: &'w mut Writer<'b>) -> Result<Self, Error> {
        writer.enter()?;
        writer.out.push(b'{');
        let start = writer.out.len();
        let base = writer.members.len();
        Ok(Self { writer, start, base, in_order: true, in_variant: false, pending: None })
    }

    pub(super) fn in_variant(mut self) -> Self {
        self.in_variant = true;
        self
    }

    #[inline]
    pub(super) fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<(), Error> {
        let name = self.name(name);
        self.value(name, |writer| value.serialize(writer))
    }

    #[inline]
    pub(super) fn name(&mut self, name: &str) -> Name {
        let start = self.next_member();
        string::write(self.writer.out, name);
        let end = self.writer.out.len();
        Name { start, end, escaped: end - start != name.len() + 2 }
    }

    /// Writes a member's name of any type: a string is the name itself; of any other value its JSON
    /// is.
    fn name_of<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<Name, Error> {
        let start = self.next_member();
        let out = {
            key.serialize(&mut *self.writer)?;
            &mut *self.writer.out
        };
        if out.get(start) != Some(&b'"') {
            string::quote(out, start);
        }
        let escaped = out[start..].contains(&b'\\');
        Ok(Name { start, end: out.len(), escaped })
    }

    #[inline]
    fn next_member(&mut self) -> usize {
        if self.writer.out.len() > self.start {
            self.writer.out.push(b',');
        }
        self.writer.out.len()
    }

    #[inline]
    pub(super) fn value(
        &mut self,
        name: Name,
        write: impl FnOnce(&mut Writer<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.writer.out.push(b':');
        write(self.writer)?;
        let Writer { out, members, .. } = &mut *self.writer;
        let member = Member::new(out, name);
        if let Some(last) = members[self.base..].last() {
            self.in_order = self.in_order && last.is_before(out, &member);
        }
        members.push(member);
        Ok(())
    }

    /// Runs a write whose output is not part of the object.
    pub(super) fn discard(
        &mut self,
        write: impl FnOnce(&mut Writer<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = self.writer.out.len();
        write(self.writer)?;
        self.writer.out.truncate(before);
        Ok(())
    }

    #[inline]
    pub(super) fn close(self) -> Result<(), Error> {
        if self.pending.is_some() {
            return Err(Reason::UnpairedMember.into());
        }
        let Writer { out, members, .. } = &mut *self.writer;
        if !self.in_order {
            members::put_in_order(out, &mut members[self.base..], self.start)?;
        }
        members.truncate(self.base);
        out.push(b'}');
        self.writer.leave();
        if self.in_variant {
            self.writer.close_variant();
        }
        Ok(())
    }
}

impl SerializeMap for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let name = self.name_of(key)?;
        match self.pending.replace(name) {
            None => Ok(()),
            Some(_) => Err(Reason::UnpairedMember.into()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = self.pending.take().ok_or(Reason::UnpairedMember)?;
        self.value(name, |writer| value.serialize(writer))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStructVariant for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.member(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
