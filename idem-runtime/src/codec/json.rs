//! JSON, the default codec.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError, faithful};
use crate::record::CodecTag;

/// JSON: readable in the store. Map keys must be strings or numbers, and floats finite. A value
/// that JSON cannot express, such as `Some(())` as opposed to `None`, is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Json {
    pub(super) const TAG: CodecTag = match CodecTag::new("json") {
        Some(tag) => tag,
        None => unreachable!(),
    };
}

pub(super) fn encode<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), serde_json::Error> {
    faithful::json(out, value)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

impl Codec for Json {
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
        let mut json = serde_json::Deserializer::from_slice(bytes);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
        Ok(json.end()?)
    }
}
