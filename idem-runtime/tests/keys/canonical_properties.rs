//! What holds for every value.

use std::collections::{BTreeMap, HashMap};

use idem_runtime::canonical;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

/// Names and texts that mix escapes, both ends of the BMP's upper range, and what lies beyond.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[ab\"\\\\\u{0}-\u{1f}\u{7f}é\u{d7ff}\u{e000}-\u{e002}\u{fffd}\u{10000}😀]{0,6}",
        any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Value::from),
        string().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((string(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Equality of JSON values in which a number is what it denotes: `5.0` is `5`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i128(), y.as_i128()) {
            (Some(x), Some(y)) => x == y,
            _ => x.as_f64() == y.as_f64(),
        },
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(name, x)| y.get(name).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// Names of all objects, in the order in which they are written.
fn names_ascend(json: &str) -> bool {
    use serde::de::{IgnoredAny, MapAccess, Visitor};

    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = Vec::new();
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                names.push(name.encode_utf16().collect::<Vec<_>>());
            }
            Ok(names.is_sorted_by(|a, b| a < b))
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(json), Names)
        .unwrap()
}

/// A type with every kind of argument that an annotated function may take.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Arguments {
    name: String,
    id: u64,
    wide: i128,
    price: f64,
    ratio: f32,
    note: Option<String>,
    kind: Kind,
    counts: HashMap<String, i64>,
    places: BTreeMap<(u8, String), bool>,
    nested: Vec<Vec<Kind>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
enum Kind {
    Empty,
    One(String),
    Two(i8, String),
    Named { zeta: bool, alpha: u16 },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Empty),
        string().prop_map(Kind::One),
        (any::<i8>(), string()).prop_map(|(number, text)| Kind::Two(number, text)),
        any::<(bool, u16)>().prop_map(|(zeta, alpha)| Kind::Named { zeta, alpha }),
    ]
}

/// Small domains, so that two of them are often equal or nearly so.
fn arguments() -> impl Strategy<Value = Arguments> {
    let numbers = (
        prop_oneof![Just(0), Just(1 << 53), Just((1 << 53) + 1), any::<u64>()],
        prop_oneof![Just(0), Just(i128::MAX), Just(i128::MAX - 1), any::<i128>()],
        prop_oneof![Just(0.0), Just(0.1), Just(0.1 + f64::EPSILON / 16.0), -1e300..1e300],
        prop_oneof![Just(0.5f32), -1e30f32..1e30],
    );
    let texts = (string(), prop::option::of(string()), kind());
    let collections = (
        prop::collection::hash_map(string(), -2i64..2, 0..3),
        prop::collection::btree_map((0u8..3, string()), any::<bool>(), 0..3),
        prop::collection::vec(prop::collection::vec(kind(), 0..3), 0..3),
    );
    (numbers, texts, collections).prop_map(
        |((id, wide, price, ratio), (name, note, kind), (counts, places, nested))| Arguments {
            name,
            id,
            wide,
            price,
            ratio,
            note,
            kind,
            counts,
            places,
            nested,
        },
    )
}

/// Two argument lists that are the same but for one field, which differs in most cases.
fn neighbours() -> impl Strategy<Value = (Arguments, Arguments)> {
    (arguments(), arguments(), 0..10).prop_map(|(a, other, field)| {
        let mut b = a.clone();
        match field {
            0 => b.name = other.name,
            1 => b.id = other.id,
            2 => b.wide = other.wide,
            3 => b.price = other.price,
            4 => b.ratio = other.ratio,
            5 => b.note = other.note,
            6 => b.kind = other.kind,
            7 => b.counts = other.counts,
            8 => b.places = other.places,
            _ => b.nested = other.nested,
        }
        (a, b)
    })
}

proptest! {
    #[test]
    fn canonical_json_reads_back_as_the_value(value in value()) {
        let written = text(&value);
        let read: Value = serde_json::from_str(&written).unwrap();
        prop_assert!(same(&read, &value), "{written}");
    }

    #[test]
    fn canonical_json_is_a_fixed_point(value in value()) {
        let written = text(&value);
        let raw: &serde_json::value::RawValue = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(text(raw), written);
    }

    #[test]
    fn canonical_json_does_not_depend_on_the_spelling(value in value()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let read: Value = serde_json::from_str(&pretty).unwrap();
        prop_assert_eq!(text(&read), text(&value));
    }

    #[test]
    fn names_are_written_in_ascending_order(
        members in prop::collection::hash_map(string(), 0u8..3, 0..40),
    ) {
        prop_assert!(names_ascend(&text(&members)));
    }

    #[test]
    fn different_arguments_have_different_canonical_json((a, b) in neighbours()) {
        prop_assert_eq!(a == b, text(&a) == text(&b));
    }

    #[test]
    fn argument_lists_are_not_confused_by_their_boundaries(
        a in prop::collection::vec(string(), 0..4),
        b in prop::collection::vec(string(), 0..4),
    ) {
        prop_assert_eq!(a == b, text(&a) == text(&b));
    }
}
