//! MessagePack, the compact codec.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AnyCodec, Choice, Codec, CodecError, CodecTag};

/// MessagePack with named fields: about a third smaller than JSON, bytes stay bytes, and map keys may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct MsgPack;

impl MsgPack {
    pub(super) const TAG: CodecTag = match CodecTag::new("msgpack") {
        Some(tag) => tag,
        None => unreachable!(),
    };
}

pub(super) fn encode<T: Serialize + ?Sized>(
    value: &T,
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(value)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

impl Codec for MsgPack {
    fn tag(&self) -> CodecTag {
        Self::TAG
    }

    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, CodecError> {
        Ok(encode(value)?)
    }

    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(
            &mut dyn erased_serde::Deserializer<'_>,
        ) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let mut msgpack = rmp_serde::Deserializer::from_read_ref(bytes);
        Ok(read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut msgpack))?)
    }

    fn into_any(self) -> AnyCodec {
        AnyCodec(Choice::MsgPack)
    }
}
