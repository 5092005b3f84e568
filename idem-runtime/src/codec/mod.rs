//! How results become bytes and back.
//!
//! Every record carries the tag of the codec that wrote it, and is read with that codec: after a change of codec old records are still
//! read rightly, and one whose codec is not there is an explicit error, never misread.

mod faithful;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

use std::fmt;
use std::sync::Arc;

#[cfg(any(feature = "json", feature = "msgpack"))]
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use faithful::json as faithful_json;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "msgpack")]
pub use msgpack::MsgPack;

#[cfg(any(feature = "json", feature = "msgpack"))]
use crate::canonical::Buffers;
pub use crate::record::CodecTag;
use crate::record::Payload;

/// What a codec complains of.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// A format for stored results.
///
/// Implement it to store results in a format of your own; give it a [`tag`](Codec::tag) that no other codec has, and a new one whenever
/// the format changes incompatibly.
///
/// ```
/// use idem_runtime::codec::{Codec, CodecError, CodecTag};
/// use erased_serde::{Deserializer, Serialize};
///
/// struct Pretty;
///
/// impl Codec for Pretty {
///     fn tag(&self) -> CodecTag {
///         const { CodecTag::new("pretty-json").unwrap() }
///     }
///     fn encode(&self, value: &dyn Serialize) -> Result<Vec<u8>, CodecError> {
///         Ok(serde_json::to_vec_pretty(value)?)
///     }
///     fn decode(
///         &self,
///         bytes: &[u8],
///         read: &mut dyn FnMut(&mut dyn Deserializer<'_>) -> Result<(), erased_serde::Error>,
///     ) -> Result<(), CodecError> {
///         let mut json = serde_json::Deserializer::from_slice(bytes);
///         read(&mut <dyn Deserializer<'_>>::erase(&mut json))?;
///         Ok(json.end()?)
///     }
/// }
/// ```
pub trait Codec: Send + Sync + 'static {
    /// Name of the format in records.
    fn tag(&self) -> CodecTag;

    /// Encodes a value.
    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, CodecError>;

    /// Hands a deserializer over the bytes to `read`, once, and checks that nothing is left behind the value.
    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(
            &mut dyn erased_serde::Deserializer<'_>,
        ) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError>;

    /// The built-in codecs are called without their trait.
    #[doc(hidden)]
    fn into_any(self) -> AnyCodec
    where
        Self: Sized,
    {
        AnyCodec(Choice::Other(Arc::new(self)))
    }
}

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
        codec.into_any()
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

/// What `encode` writes, in exactly as much memory as it takes: a storage may keep it for long.
#[cfg(any(feature = "json", feature = "msgpack"))]
fn copied<E>(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    let mut buffers = Buffers::take();
    encode(&mut buffers.out)?;
    let bytes = Bytes::copy_from_slice(&buffers.out);
    buffers.give_back();
    Ok(bytes)
}

/// What is said of bytes that do not decode. The decoders' own texts quote the bytes, and those are the user's.
fn unreadable<T>() -> String {
    format!("the bytes are no `{}`", std::any::type_name::<T>())
}

fn decode_with<T: DeserializeOwned>(codec: &dyn Codec, bytes: &[u8]) -> Result<T, CodecError> {
    let mut value = None;
    codec.decode(bytes, &mut |deserializer| {
        // The deserializer's own text quotes what it could not read, which is the user's data.
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

#[cfg(all(test, feature = "json", feature = "msgpack"))]
mod tests;
