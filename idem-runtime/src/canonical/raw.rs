//! Canonicalises JSON text.
//!
//! One level at a time: the members of an object or array are taken as raw text and then written
//! each by itself. Parsing into a `serde_json::Value` would be shorter, but rounds long numbers and
//! lets the last of two equal names win.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Error, Reason};
use super::writer::Writer;
use super::{number, string};

pub(super) fn write(writer: &mut Writer<'_>, json: &str) -> Result<(), Error> {
    match json.as_bytes().first() {
        Some(b'{') => {
            let mut object = writer.object()?;
            for (name, value) in parse::<Members<'_>>(json)?.0 {
                let name = object.name(&name);
                object.value(name, |writer| write(writer, value.get()))?;
            }
            object.close()
        }
        Some(b'[') => {
            let mut array = writer.array()?;
            for value in parse::<Vec<&RawValue>>(json)? {
                write(array.element(), value.get())?;
            }
            array.close();
            Ok(())
        }
        Some(b'"') => {
            string::write(writer.out, &parse::<String>(json)?);
            Ok(())
        }
        Some(b't' | b'f') => parse::<bool>(json)?.serialize(writer),
        Some(b'n') => parse::<()>(json)?.serialize(writer),
        _ => number::write_text(writer.out, json),
    }
}

fn parse<'j, T: Deserialize<'j>>(json: &'j str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|_| Reason::RawValue.into())
}

/// All members of an object, those with equal names too.
struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'j> Deserialize<'j> for Members<'j> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'j> Visitor<'j> for All {
            type Value = Members<'j>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}
