//! Any codec in one type.

#[cfg(any(feature = "json", feature = "msgpack"))]
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

#[cfg(any(feature = "json", feature = "msgpack"))]
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "json")]
use super::json::{self, Json};
#[cfg(feature = "msgpack")]
use super::msgpack::{self, MsgPack};
use super::{Codec, CodecError};
#[cfg(any(feature = "json", feature = "msgpack"))]
use crate::canonical::Buffers;
use crate::record::{CodecTag, Payload};

/// Any codec, cheap to clone. The built-in ones are called directly, others through their trait.
#[derive(Clone)]
pub struct AnyCodec(Choice);

#[derive(Clone)]
enum Choice {
    #[cfg(feature = "json")]
    Json,
    #[cfg(feature = "msgpack")]
    MsgPack,
    Other(Arc<dyn Codec>),
}

impl<C: Codec> From<C> for AnyCodec {
    fn from(codec: C) -> Self {
        #[cfg(feature = "json")]
        if TypeId::of::<C>() == TypeId::of::<Json>() {
            return Self(Choice::Json);
        }
        #[cfg(feature = "msgpack")]
        if TypeId::of::<C>() == TypeId::of::<MsgPack>() {
            return Self(Choice::MsgPack);
        }
        Self(Choice::Other(Arc::new(codec)))
    }
}

impl AnyCodec {
    /// The codec's name in records.
    pub fn tag(&self) -> CodecTag {
        match &self.0 {
            #[cfg(feature = "json")]
            Choice::Json => Json::TAG,
            #[cfg(feature = "msgpack")]
            Choice::MsgPack => MsgPack::TAG,
            Choice::Other(codec) => codec.tag(),
        }
    }

    /// Encodes a value.
    pub fn encode<T: Serialize>(&self, value: &T) -> Result<Payload, CodecError> {
        let bytes = match &self.0 {
            #[cfg(feature = "json")]
            Choice::Json => copied(|out| json::encode(out, value))?,
            #[cfg(feature = "msgpack")]
            Choice::MsgPack => copied(|out| msgpack::encode(out, value))?,
            Choice::Other(codec) => codec.encode(value)?.into(),
        };
        Ok(Payload { codec: self.tag(), bytes })
    }

    /// Decodes a payload with the codec that wrote it: this one, or a built-in one.
    pub fn decode<T: DeserializeOwned>(&self, payload: &Payload) -> Result<T, CodecError> {
        if let Choice::Other(codec) = &self.0
            && codec.tag() == payload.codec
        {
            return decode_with(&**codec, &payload.bytes);
        }
        match payload.codec {
            #[cfg(feature = "json")]
            Json::TAG => json::decode(&payload.bytes).map_err(|_| unreadable::<T>().into()),
            #[cfg(feature = "msgpack")]
            MsgPack::TAG => msgpack::decode(&payload.bytes).map_err(|_| unreadable::<T>().into()),
            other => Err(format!(
                "the record was written with the codec `{other}`, which is not available"
            )
            .into()),
        }
    }
}

/// The output of `encode`, without spare capacity: a storage may keep it for long.
#[cfg(any(feature = "json", feature = "msgpack"))]
fn copied<E>(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    let mut buffers = Buffers::take();
    encode(&mut buffers.out)?;
    let bytes = Bytes::copy_from_slice(&buffers.out);
    buffers.give_back();
    Ok(bytes)
}

/// Error text for bytes that do not decode. The decoders' own texts quote the bytes, which are user
/// data.
fn unreadable<T>() -> String {
    format!("the bytes do not decode as `{}`", std::any::type_name::<T>())
}

fn decode_with<T: DeserializeOwned>(codec: &dyn Codec, bytes: &[u8]) -> Result<T, CodecError> {
    let mut value = None;
    codec.decode(bytes, &mut |deserializer| {
        // The deserializer's own text quotes its input, which is user data.
        let read = erased_serde::deserialize(deserializer);
        value = Some(read.map_err(|_| serde::de::Error::custom(unreadable::<T>()))?);
        Ok(())
    })?;
    value.ok_or_else(|| "the codec decoded nothing".into())
}

impl fmt::Debug for AnyCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyCodec({})", self.tag())
    }
}
