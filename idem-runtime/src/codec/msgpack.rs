//! MessagePack, the compact codec.

use rmp_serde::decode::ReadReader;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::faithful::{Faithful, Format, MAX_DEPTH};
use super::{Codec, CodecError};
use crate::record::CodecTag;

/// MessagePack with named fields: about a third smaller than JSON, bytes stay bytes, and map keys
/// may be anything. A value that it cannot express, such as `Some(())` as opposed to `None`, is an
/// error.
#[derive(Clone, Copy, Debug, Default)]
pub struct MsgPack;

impl MsgPack {
    pub(super) const TAG: CodecTag = match CodecTag::new("msgpack") {
        Some(tag) => tag,
        None => unreachable!(),
    };
}

pub(super) fn encode<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), rmp_serde::encode::Error> {
    rmp_serde::encode::write_named(out, &Faithful(value, Format::MSGPACK))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut msgpack = deserializer(bytes);
    let value = T::deserialize(&mut msgpack)?;
    finish(&msgpack)?;
    Ok(value)
}

/// A deserializer that refuses input nested deeper than any stored result, before it overflows the
/// stack.
fn deserializer(bytes: &[u8]) -> rmp_serde::Deserializer<ReadReader<&[u8]>> {
    let mut msgpack = rmp_serde::Deserializer::new(bytes);
    msgpack.set_max_depth(usize::from(MAX_DEPTH) + 1);
    msgpack
}

/// `rmp_serde` itself ignores bytes after the value.
fn finish(
    msgpack: &rmp_serde::Deserializer<ReadReader<&[u8]>>,
) -> Result<(), rmp_serde::decode::Error> {
    if msgpack.get_ref().is_empty() {
        return Ok(());
    }
    Err(rmp_serde::decode::Error::custom("trailing bytes"))
}

impl Codec for MsgPack {
    fn tag(&self) -> CodecTag {
        Self::TAG
    }

    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        encode(&mut out, value)?;
        Ok(out)
    }

    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(
            &mut dyn erased_serde::Deserializer<'_>,
        ) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let mut msgpack = deserializer(bytes);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut msgpack))?;
        Ok(finish(&msgpack)?)
    }
}
