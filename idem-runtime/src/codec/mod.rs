//! Encoding and decoding of results.
//!
//! Every record carries the tag of the codec that wrote it, and is read with that codec: after a
//! change of codec old records stay readable, and a missing codec is an explicit error, never a
//! misread record.

mod any;
mod faithful;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

pub use any::AnyCodec;
pub use faithful::json as faithful_json;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "msgpack")]
pub use msgpack::MsgPack;

pub use crate::record::CodecTag;

/// The error of a codec.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// A format for stored results.
///
/// Implement it to store results in a format of your own; give it a [`tag`](Codec::tag) that no
/// other codec has, and a new one whenever the format changes incompatibly.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::codec::{Codec, CodecError, CodecTag};
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

    /// Calls `read` once with a deserializer over the bytes, and checks that no bytes are left
    /// after the value.
    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(
            &mut dyn erased_serde::Deserializer<'_>,
        ) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError>;
}

#[cfg(all(test, feature = "json", feature = "msgpack"))]
mod tests;
