//! A stored result: the tag of the codec that wrote it, and its bytes.

use std::collections::BTreeMap;

use idem_runtime::codec::{AnyCodec, CodecTag, Json, MsgPack};
use idem_runtime::record::Payload;
use serde::{Deserialize, Serialize};

/// A result with something of everything.
#[derive(Debug, Serialize, Deserialize)]
struct Sample {
    text: String,
    number: u64,
    signed: i64,
    wide: Option<i128>,
    float: f64,
    single: f32,
    letter: char,
    flags: Vec<Option<bool>>,
    named: BTreeMap<String, i32>,
    kind: Kind,
    inner: Option<Box<Sample>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(i8, u16),
    Struct { name: String },
}

/// The tag up to a line's end, and the bytes. What decodes, encodes, and decodes as the same.
pub(crate) fn envelope(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (tag, bytes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(tag) = std::str::from_utf8(tag) else { return };
    let Some(codec) = CodecTag::new(tag) else { return };
    assert_eq!(codec.as_str(), tag);
    let payload = Payload { codec, bytes: bytes.to_vec().into() };
    // Whichever codec is asked, the tag decides.
    let (json, msgpack) = (AnyCodec::from(Json), AnyCodec::from(MsgPack));
    let read = json.decode::<Sample>(&payload);
    let read_by_other = msgpack.decode::<Sample>(&payload);
    assert_eq!(read.is_ok(), read_by_other.is_ok());
    let Ok(sample) = read else { return };
    for codec in [json, msgpack] {
        // JSON refuses what it cannot express.
        let Ok(payload) = codec.encode(&sample) else { continue };
        let again: Sample = codec.decode(&payload).expect("what was encoded decodes");
        assert_eq!(format!("{again:?}"), format!("{sample:?}"), "by {codec:?}");
    }
}
