//! Codecs: faithful, named in what they write, and never misread.

use std::collections::{BTreeMap, HashMap};

use erased_serde::Deserializer;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{AnyCodec, Codec, CodecError, CodecTag, Json, MsgPack};
use crate::record::Payload;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: u64,
    amount: i128,
    note: Option<String>,
    lines: Vec<Line>,
    totals: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Line {
    Unit,
    Newtype(u8),
    Tuple(String, bool),
    Struct { price: u32, parts: (i8, char) },
}

fn receipt() -> Receipt {
    Receipt {
        id: u64::MAX,
        amount: i128::from(i64::MIN),
        note: Some("grüße 🦀 \u{0} \"quoted\"".into()),
        lines: vec![
            Line::Unit,
            Line::Newtype(0),
            Line::Tuple(String::new(), true),
            Line::Struct { price: 1, parts: (-1, '\u{10ffff}') },
        ],
        totals: [("a".into(), 0.1), ("b".into(), f64::MIN_POSITIVE), ("c".into(), 1e300)].into(),
    }
}

fn codecs() -> [AnyCodec; 3] {
    [Json.into(), MsgPack.into(), Reversed.into()]
}

/// A custom codec: reversed JSON.
struct Reversed;

impl Codec for Reversed {
    fn tag(&self) -> CodecTag {
        const { CodecTag::new("reversed").unwrap() }
    }

    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Json.encode(value)?;
        bytes.reverse();
        Ok(bytes)
    }

    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(&mut dyn Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let bytes: Vec<u8> = bytes.iter().rev().copied().collect();
        Json.decode(&bytes, read)
    }
}

#[test]
fn every_codec_gives_back_what_it_was_given() {
    for codec in codecs() {
        let payload = codec.encode(&receipt()).unwrap();
        assert_eq!(codec.decode::<Receipt>(&payload).unwrap(), receipt(), "{codec:?}");
        let payload = codec.encode(&()).unwrap();
        codec.decode::<()>(&payload).unwrap();
        let payload = codec.encode(&None::<u8>).unwrap();
        assert_eq!(codec.decode::<Option<u8>>(&payload).unwrap(), None);
    }
}

#[test]
fn payload_names_its_codec() {
    let tags = codecs().map(|codec| codec.encode(&1).unwrap().codec.to_string());
    assert_eq!(tags, ["json", "msgpack", "reversed"]);
}

#[test]
fn old_payload_is_read_with_the_codec_that_wrote_it() {
    for writer in [AnyCodec::from(Json), AnyCodec::from(MsgPack)] {
        let payload = writer.encode(&receipt()).unwrap();
        for reader in codecs() {
            assert_eq!(reader.decode::<Receipt>(&payload).unwrap(), receipt());
        }
    }
}

#[test]
fn payload_of_a_codec_that_is_not_there_is_an_error_that_names_it() {
    let payload = AnyCodec::from(Reversed).encode(&1).unwrap();
    for reader in [AnyCodec::from(Json), AnyCodec::from(MsgPack)] {
        let error = reader.decode::<u8>(&payload).unwrap_err().to_string();
        assert!(error.contains("`reversed`"), "{error}");
    }
}

#[test]
fn damaged_payload_is_an_error() {
    for codec in codecs() {
        let intact = codec.encode(&receipt()).unwrap();
        for len in 0..intact.bytes.len() {
            // Reversed JSON loses its beginning.
            let payload = Payload { bytes: intact.bytes.slice(..len), ..intact.clone() };
            assert!(codec.decode::<Receipt>(&payload).is_err(), "{codec:?} {len}");
        }
    }
}

#[test]
fn bytes_behind_the_value_are_an_error() {
    for codec in codecs() {
        let payload = codec.encode(&receipt()).unwrap();
        let bytes = [&payload.bytes, &b"1"[..]].concat();
        let payload = Payload { bytes: bytes.into(), ..payload };
        assert!(codec.decode::<Receipt>(&payload).is_err(), "{codec:?}");
    }
}

#[test]
fn payload_of_another_type_is_an_error() {
    for codec in codecs() {
        let payload = codec.encode(&"text").unwrap();
        assert!(codec.decode::<Receipt>(&payload).is_err(), "{codec:?}");
    }
}

/// The trait and the direct calls of the built-in codecs give the same bytes.
#[test]
fn built_in_codecs_write_the_same_through_their_trait() {
    let direct = AnyCodec::from(Json).encode(&receipt()).unwrap();
    assert_eq!(direct.bytes, Json.encode(&receipt()).unwrap());
    let direct = AnyCodec::from(MsgPack).encode(&receipt()).unwrap();
    assert_eq!(direct.bytes, MsgPack.encode(&receipt()).unwrap());
}

/// The trait alone must find trailing bytes too: a custom codec may delegate to it.
#[test]
fn built_in_codecs_find_trailing_bytes_through_their_trait() {
    let read = |codec: &dyn Codec, bytes: &[u8]| {
        codec.decode(bytes, &mut |deserializer| {
            erased_serde::deserialize::<u8>(deserializer).map(drop)
        })
    };
    assert!(read(&Json, b"1").is_ok() && read(&Json, b"1 1").is_err());
    assert!(read(&MsgPack, &[1]).is_ok() && read(&MsgPack, &[1, 1]).is_err());
}

/// The check for faithful values does not change the output of `serde_json`.
#[test]
fn json_is_what_serde_json_writes() {
    let raw = serde_json::value::RawValue::from_string("{\"a\" : 1.50}".into()).unwrap();
    let address: std::net::IpAddr = [127, 0, 0, 1].into();
    let bytes = [1_u8, 2].as_slice();
    let value = serde_json::json!({"big": u64::MAX, "float": 0.5, "list": [null, true, "text"]});
    let all = (receipt(), raw, address, bytes, value, HashMap::from([(7, Some(0))]), 'c', 1.5_f32);
    assert_eq!(Json.encode(&all).unwrap(), serde_json::to_vec(&all).unwrap());
    let direct = AnyCodec::from(Json).encode(&all).unwrap();
    assert_eq!(direct.bytes, serde_json::to_vec(&all).unwrap());
}

/// A number that JSON lacks is an error on storing, not a `null` on replay.
#[test]
fn what_json_cannot_express_is_an_error() {
    let codec = AnyCodec::from(Json);
    assert!(codec.encode(&HashMap::from([((1, 2), 3)])).is_err());
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(codec.encode(&float).is_err(), "{float}");
        assert!(codec.encode(&Some(float)).is_err(), "{float}");
        assert!(codec.encode(&vec![(float, 1)]).is_err(), "{float}");
        let totals = [("a".to_owned(), float)].into();
        assert!(codec.encode(&Receipt { totals, ..receipt() }).is_err(), "{float}");
        assert!(Json.encode(&Some(float)).is_err(), "{float}");
        #[expect(clippy::cast_possible_truncation, reason = "it stays what it is")]
        let single = float as f32;
        assert!(codec.encode(&Some(single)).is_err(), "{float}");
    }
}

/// The formats write a unit inside `Some` like `None`: an error on storing, not a `None` on replay.
#[test]
fn nothing_inside_of_some_is_an_error() {
    #[derive(Serialize)]
    struct Nothing;
    #[derive(Serialize)]
    struct Newtype<T>(T);
    for codec in codecs() {
        assert!(codec.encode(&Some(())).is_err(), "{codec:?}");
        assert!(codec.encode(&Some(Nothing)).is_err(), "{codec:?}");
        assert!(codec.encode(&Some(None::<u8>)).is_err(), "{codec:?}");
        assert!(codec.encode(&Some(Some(()))).is_err(), "{codec:?}");
        assert!(codec.encode(&Some(Newtype(None::<u8>))).is_err(), "{codec:?}");
        assert!(codec.encode(&vec![(1, Some(()))]).is_err(), "{codec:?}");
        for whole in [Some(Some(vec![None, Some(1)])), None] {
            let payload = codec.encode(&whole).unwrap();
            assert_eq!(codec.decode::<Option<Option<Vec<Option<u8>>>>>(&payload).unwrap(), whole);
        }
        let unit = codec.encode(&((), Newtype(()), Some([()]))).unwrap();
        assert_eq!(codec.decode::<((), (), Option<[(); 1]>)>(&unit).unwrap(), ((), (), Some([()])));
    }
}

/// Deeply nested sequences; at unbounded depth `Drop` and `Debug` would overflow the stack.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

fn nested(levels: usize) -> Nested {
    (1..levels).fold(Nested(Vec::new()), |inside, _| Nested(vec![inside]))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Variants {
    End,
    Newtype(Box<Variants>),
    Tuple(u8, Box<Variants>),
    Struct { inside: Box<Variants> },
}

/// The codecs refuse values that their decoders would reject.
#[test]
fn what_is_nested_too_deeply_to_be_read_is_an_error() {
    for codec in codecs() {
        let deep = nested(127);
        let payload = codec.encode(&deep).unwrap();
        assert_eq!(codec.decode::<Nested>(&payload).unwrap(), deep, "{codec:?}");
        for levels in [128, 129, 1_000] {
            let error = codec.encode(&nested(levels)).unwrap_err();
            assert!(error.to_string().contains("127 levels"), "{error}");
        }
        let kinds: [fn(Variants) -> Variants; 3] = [
            |inside| Variants::Newtype(inside.into()),
            |inside| Variants::Tuple(1, inside.into()),
            |inside| Variants::Struct { inside: inside.into() },
        ];
        for kind in kinds {
            for levels in 1..140 {
                let deep = (0..levels).fold(Variants::End, |inside, _| kind(inside));
                if let Ok(payload) = codec.encode(&deep) {
                    assert_eq!(codec.decode::<Variants>(&payload).unwrap(), deep, "{codec:?}");
                } else {
                    assert!(levels > 60, "{levels} levels, {codec:?}");
                }
            }
        }
    }
}

/// Hostile bytes are refused before they overflow a thread's stack.
#[test]
fn hostile_depth_is_an_error_and_no_overflow() {
    let read = || {
        for (codec, open) in [(AnyCodec::from(Json), b'['), (AnyCodec::from(MsgPack), 0x91)] {
            let payload = Payload { codec: codec.tag(), bytes: vec![open; 1 << 20].into() };
            assert!(codec.decode::<Nested>(&payload).is_err(), "{codec:?}");
            assert!(codec.decode::<serde_json::Value>(&payload).is_err(), "{codec:?}");
            assert!(codec.decode::<serde::de::IgnoredAny>(&payload).is_err(), "{codec:?}");
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(read).unwrap().join().unwrap();
}

#[test]
fn msgpack_keeps_what_json_cannot_express() {
    let codec = AnyCodec::from(MsgPack);
    let map = HashMap::from([((1, 2), 3)]);
    assert_eq!(codec.decode::<HashMap<(u8, u8), u8>>(&codec.encode(&map).unwrap()).unwrap(), map);
    let infinite = codec.encode(&f64::INFINITY).unwrap();
    assert!(codec.decode::<f64>(&infinite).unwrap().is_infinite());
}

#[test]
fn tags_are_short_and_plain() {
    for tag in ["j", "json", "My-Codec-2", "123456789012345"] {
        assert_eq!(CodecTag::new(tag).unwrap().as_str(), tag);
    }
    for tag in ["", "1234567890123456", "a b", "a_b", "ä", "a\0"] {
        assert!(CodecTag::new(tag).is_none(), "{tag:?}");
    }
    assert_ne!(CodecTag::new("a"), CodecTag::new("a-"));
}

#[test]
fn debug_shows_no_payload() {
    let payload = AnyCodec::from(Json).encode(&"secret").unwrap();
    assert_eq!(format!("{payload:?}"), "Payload(json, 8 bytes)");
}

proptest! {
    #[test]
    fn any_bytes_decode_to_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in codecs() {
            let payload = Payload { codec: codec.tag(), bytes: bytes.clone().into() };
            let _ = codec.decode::<Receipt>(&payload);
            let _ = codec.decode::<serde_json::Value>(&payload);
        }
    }

    #[test]
    fn floats_and_strings_are_kept(float in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, text in any::<String>()) {
        for codec in codecs() {
            let payload = codec.encode(&(float, &text)).unwrap();
            let (float_back, text_back): (f64, String) = codec.decode(&payload).unwrap();
            prop_assert_eq!(float_back.to_bits(), float.to_bits());
            prop_assert_eq!(&text_back, &text);
        }
    }
}
