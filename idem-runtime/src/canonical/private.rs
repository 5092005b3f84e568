//! The two types of `serde_json` that pass text through serde as a struct with a private name.
//!
//! They are always recognised, since any crate of the build may enable the features behind them.

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::compound::Object;
use super::error::{Error, Reason};
use super::writer::Writer;
use super::{number, text};

/// Name of the struct and of its field, of `serde_json::Number` with the feature
/// `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// Name of the struct and of its field, of `serde_json::value::RawValue`.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

#[derive(Clone, Copy)]
pub(super) enum Private {
    Number,
    RawValue,
}

impl Private {
    #[inline]
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            NUMBER => Some(Self::Number),
            RAW_VALUE => Some(Self::RawValue),
            _ => None,
        }
    }
}

pub(super) enum Struct<'w, 'b> {
    Object(Object<'w, 'b>),
    /// The text is written as a JSON string from `start` on, and replaced at the end of the struct.
    Text {
        writer: &'w mut Writer<'b>,
        private: Private,
        start: usize,
    },
}

impl<'w, 'b> Struct<'w, 'b> {
    #[cold]
    pub(super) fn private(writer: &'w mut Writer<'b>, private: Private) -> Self {
        let start = writer.out.len();
        Self::Text { writer, private, start }
    }
}

impl SerializeStruct for Struct<'_, '_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        match self {
            Self::Object(object) => object.member(name, value),
            Self::Text { writer, .. } => value.serialize(&mut **writer),
        }
    }

    #[inline]
    fn end(self) -> Result<(), Error> {
        match self {
            Self::Object(object) => object.close(),
            Self::Text { writer, private, start } => replace_text(writer, private, start),
        }
    }
}

#[cold]
fn replace_text(writer: &mut Writer<'_>, private: Private, start: usize) -> Result<(), Error> {
    let invalid = match private {
        Private::Number => Reason::NumberText,
        Private::RawValue => Reason::Text,
    };
    let Ok(text) = serde_json::from_slice::<String>(&writer.out[start..]) else {
        return Err(invalid.into());
    };
    writer.out.truncate(start);
    match private {
        Private::Number => number::write_text(writer.out, &text),
        Private::RawValue => text::write(writer, &text),
    }
}
