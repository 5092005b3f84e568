//! What each kind of Rust value becomes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use idem_runtime::canonical;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

fn error<T: Serialize + ?Sized>(value: &T) -> String {
    canonical::to_vec(value).unwrap_err().to_string()
}

#[test]
fn integers_keep_all_digits() {
    assert_eq!(text(&9_007_199_254_740_993_u64), "9007199254740993");
    assert_eq!(text(&-9_007_199_254_740_993_i64), "-9007199254740993");
    assert_eq!(text(&[i8::MIN, i8::MAX]), "[-128,127]");
    assert_eq!(text(&u64::MAX), "18446744073709551615");
    assert_eq!(text(&i64::MIN), "-9223372036854775808");
    assert_eq!(text(&u128::MAX), "340282366920938463463374607431768211455");
    assert_eq!(text(&i128::MIN), "-170141183460469231731687303715884105728");
    assert_eq!(text(&i128::MAX), "170141183460469231731687303715884105727");
}

#[test]
fn integral_floats_print_like_integers() {
    assert_eq!(text(&5.0f64), "5");
    assert_eq!(text(&-0.0f64), "0");
    assert_eq!(text(&-0.0f32), "0");
    assert_eq!(text(&1e21f64), "1e+21");
    assert_eq!(text(&1e20f64), "100000000000000000000");
}

#[test]
fn single_precision_floats_print_their_own_shortest_decimal() {
    assert_eq!(text(&0.1f32), "0.1");
    assert_eq!(text(&16_777_216f32), "16777216");
    assert_eq!(text(&f32::MAX), "3.4028235e+38");
    assert_eq!(text(&f32::from_bits(1)), "1e-45");
    error(&f32::NAN);
    error(&f32::NEG_INFINITY);
}

#[test]
fn errors_name_the_reason_and_not_the_value() {
    assert_eq!(error(&[1.0, f64::NAN]), "a float is not finite");
    let twice = [("secret", 1), ("other", 2), ("secret", 3)];
    assert_eq!(error(&Pairs(&twice)), "two members of one object have the same name");
}

#[test]
fn bytes_are_an_array_of_numbers() {
    struct Bytes<'a>(&'a [u8]);
    impl Serialize for Bytes<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    assert_eq!(text(&Bytes(&[0, 9, 10, 255])), "[0,9,10,255]");
    assert_eq!(text(&Bytes(&[])), "[]");
    assert_eq!(text(&Bytes(b"ab")), text(b"ab".as_slice()));
}

#[test]
fn borrowed_and_owned_data_are_the_same() {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        name: &'a str,
        tags: &'a [Cow<'a, str>],
    }
    #[derive(Serialize)]
    struct Owned {
        tags: Vec<String>,
        name: String,
    }
    let borrowed = Borrowed { name: "n", tags: &["t".into()] };
    let owned = Owned { name: "n".into(), tags: vec!["t".into()] };
    assert_eq!(text(&borrowed), r#"{"name":"n","tags":["t"]}"#);
    assert_eq!(text(&owned), text(&borrowed));
}

#[test]
fn shapes_are_those_of_serde_json() {
    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { z: u8, a: u8 },
    }
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Newtype(Option<u8>);

    assert_eq!(text(&Shape::Unit), r#""Unit""#);
    assert_eq!(text(&Shape::Newtype(1)), r#"{"Newtype":1}"#);
    assert_eq!(text(&Shape::Tuple(1, 2)), r#"{"Tuple":[1,2]}"#);
    assert_eq!(text(&Shape::Struct { z: 1, a: 2 }), r#"{"Struct":{"a":2,"z":1}}"#);
    assert_eq!(text(&(Unit, (), Newtype(None), Newtype(Some(1)), 'x', true)), {
        r#"[null,null,null,1,"x",true]"#
    });
    assert_eq!(text(&Vec::<u8>::new()), "[]");
    assert_eq!(text(&BTreeMap::<u8, u8>::new()), "{}");
}

#[test]
fn members_of_nested_objects_are_sorted_each_by_themselves() {
    #[derive(Serialize)]
    struct Outer {
        z: Inner,
        b: u8,
        a: Vec<Inner>,
    }
    #[derive(Serialize)]
    struct Inner {
        y: u8,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, Option<u8>>,
    }
    let inner = |y| Inner { y, rest: BTreeMap::from([("zz", None), ("x", Some(y))]) };
    let outer = Outer { z: inner(1), b: 0, a: vec![inner(2), inner(3)] };
    assert_eq!(
        text(&outer),
        r#"{"a":[{"x":2,"y":2,"zz":null},{"x":3,"y":3,"zz":null}],"b":0,"z":{"x":1,"y":1,"zz":null}}"#
    );
}

#[test]
fn hash_map_order_does_not_matter() {
    let ordered: BTreeMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    let hashed: HashMap<u32, u32> = (0..1000).rev().map(|n| (n, n)).collect();
    assert_eq!(text(&hashed), text(&ordered));
}

#[test]
fn scalar_map_keys_become_their_text() {
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Unit {
        A,
    }
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Id(u64);

    assert_eq!(text(&BTreeMap::from([(10, 'a'), (9, 'b')])), r#"{"10":"a","9":"b"}"#);
    assert_eq!(text(&BTreeMap::from([(i128::MIN, 0)])), format!(r#"{{"{}":0}}"#, i128::MIN));
    assert_eq!(text(&BTreeMap::from([(true, 1), (false, 0)])), r#"{"false":0,"true":1}"#);
    assert_eq!(text(&BTreeMap::from([('"', 1)])), r#"{"\"":1}"#);
    assert_eq!(text(&BTreeMap::from([(Unit::A, 1)])), r#"{"A":1}"#);
    assert_eq!(text(&BTreeMap::from([(Id(7), 1)])), r#"{"7":1}"#);
    assert_eq!(text(&BTreeMap::from([(Some("k"), 1)])), r#"{"k":1}"#);
    assert_eq!(text(&Pairs(&[(1.5, 1), (1.0, 2), (1e21, 3)])), r#"{"1":2,"1.5":1,"1e+21":3}"#);
    error(&Pairs(&[(f64::NAN, 1)]));
}

#[test]
fn other_map_keys_become_their_canonical_json() {
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Place {
        y: u8,
        name: &'static str,
    }
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Tagged {
        Number(u8),
    }
    assert_eq!(text(&BTreeMap::from([((1, "a"), 'v')])), r#"{"[1,\"a\"]":"v"}"#);
    assert_eq!(
        text(&BTreeMap::from([(Place { y: 1, name: "n\n" }, 0)])),
        r#"{"{\"name\":\"n\\n\",\"y\":1}":0}"#
    );
    assert_eq!(text(&BTreeMap::from([(Tagged::Number(1), 0)])), r#"{"{\"Number\":1}":0}"#);
    assert_eq!(text(&BTreeMap::from([(None, 0), (Some(1), 1)])), r#"{"1":1,"null":0}"#);
    assert_eq!(text(&BTreeMap::from([((), 0)])), r#"{"null":0}"#);
}

#[test]
fn map_keys_with_the_same_name_are_an_error() {
    error(&BTreeMap::from([(None, 0), (Some("null"), 1)]));
    error(&Pairs(&[(0.0, 1), (-0.0, 2)]));
    error(&Pairs(&[("a", 1), ("b", 2), ("a", 1)]));
    error(&Pairs(&[("a\n", 1), ("a\n", 2)]));
}

#[test]
fn struct_with_the_same_field_twice_is_an_error() {
    #[derive(Serialize)]
    struct Twice {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, u8>,
    }
    error(&Twice { a: 1, rest: BTreeMap::from([("a", 2)]) });
}

#[test]
fn values_that_are_displayed_are_escaped() {
    struct Shown(&'static str);
    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("<{}>{}", self.0, 1))
        }
    }
    assert_eq!(text(&Shown("a\"\n")), r#""<a\"\n>1""#);
}

#[test]
fn depth_is_limited_as_in_serde_json() {
    fn nested(depth: usize) -> serde_json::Value {
        (1..depth).fold(serde_json::json!([]), |inner, level| {
            if level % 2 == 0 {
                serde_json::json!([inner])
            } else {
                serde_json::json!({ "a": inner })
            }
        })
    }
    let deepest = text(&nested(127));
    serde_json::from_str::<serde_json::Value>(&deepest).unwrap();
    assert_eq!(error(&nested(128)), "the value is nested too deeply");
}

#[test]
fn endless_wrappers_are_an_error_and_no_stack_overflow() {
    #[derive(Serialize)]
    struct Chain(Option<Box<Chain>>);
    let chain = |length| (0..length).fold(Chain(None), |tail, _| Chain(Some(Box::new(tail))));
    assert_eq!(text(&chain(100)), "null");
    assert_eq!(error(&chain(1000)), "the value is nested too deeply");
    // Side by side there may be any number.
    assert_eq!(text(&vec![Some(1); 2000]), format!("[1{}]", ",1".repeat(1999)));
}

#[test]
fn enum_recursion_is_limited_too() {
    #[derive(Serialize)]
    enum Chain {
        End,
        Next(Box<Chain>),
        Pair((), Box<Chain>),
    }
    let chain = |length| (0..length).fold(Chain::End, |tail, _| Chain::Next(Box::new(tail)));
    text(&chain(127));
    error(&chain(128));
    let chain = |length| (0..length).fold(Chain::End, |tail, _| Chain::Pair((), Box::new(tail)));
    text(&chain(63));
    error(&chain(64));
}

#[test]
fn append_leaves_the_buffer_as_it_was_on_failure() {
    let mut out = b"before".to_vec();
    canonical::append(&mut out, &("written", f64::NAN)).unwrap_err();
    assert_eq!(out, b"before");
    canonical::append(&mut out, &[1]).unwrap();
    assert_eq!(out, b"before[1]");
}

#[test]
fn maps_that_do_not_pair_their_keys_are_an_error() {
    struct Unpaired(fn(&mut dyn FnMut(bool) -> bool));
    impl Serialize for Unpaired {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            let mut failed = None;
            (self.0)(&mut |key| {
                let step = if key { map.serialize_key("k") } else { map.serialize_value(&1) };
                failed = failed.take().or(step.err());
                failed.is_none()
            });
            failed.map_or_else(|| map.end(), Err)
        }
    }
    error(&Unpaired(|step| {
        step(true);
    }));
    error(&Unpaired(|step| {
        step(false);
    }));
    error(&Unpaired(|step| {
        let _ = step(true) && step(true);
    }));
}

#[test]
fn structs_that_pretend_to_be_numbers_are_errors() {
    struct Forged<T>(&'static str, T);
    impl<T: Serialize> Serialize for Forged<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut forged = serializer.serialize_struct(self.0, 1)?;
            forged.serialize_field(self.0, &self.1)?;
            forged.end()
        }
    }
    const NUMBER: &str = "$serde_json::private::Number";
    const RAW: &str = "$serde_json::private::RawValue";
    for text in
        ["", "-", "01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 ", "١", "1e99999999999999999999"]
    {
        error(&Forged(NUMBER, text));
    }
    for text in
        ["", "[", "{\"a\":1,}", "nul", "tru", "[1]]", "\"\\ud800\"", "{\"a\":1,\"a\":1}", "1 2"]
    {
        error(&Forged(RAW, text));
    }
    error(&Forged(NUMBER, 1));
    error(&Forged(RAW, ()));
    error(&Forged(RAW, format!("{}{}", "[".repeat(200), "]".repeat(200))));
}

/// A map with any keys in any order.
struct Pairs<'a, K, V>(&'a [(K, V)]);

impl<K: Serialize, V: Serialize> Serialize for Pairs<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Each set has a hasher of its own, and so an order of its own.
fn set<T: Eq + std::hash::Hash>(elements: impl IntoIterator<Item = T>) -> HashSet<T> {
    elements.into_iter().collect()
}

#[test]
fn a_hash_set_has_one_order_wherever_it_is() {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Transparent(HashSet<u32>);
    #[derive(Serialize)]
    struct Newtype(HashSet<u32>);
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Set(HashSet<u32>),
    }
    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Set { tags: HashSet<u32> },
    }
    #[derive(Serialize)]
    struct Flat {
        tags: HashSet<u32>,
    }
    #[derive(Serialize)]
    struct Everywhere<'a> {
        field: HashSet<u32>,
        borrowed: &'a HashSet<u32>,
        optional: Option<HashSet<u32>>,
        owned: Cow<'a, HashSet<u32>>,
        listed: Vec<HashSet<u32>>,
        mapped: BTreeMap<u8, HashSet<u32>>,
        pair: (u8, HashSet<u32>),
        transparent: Transparent,
        newtype: Newtype,
        untagged: Untagged,
        tagged: Tagged,
        #[serde(flatten)]
        flat: Flat,
    }
    let numbers = || set(0..100);
    let everywhere = |borrowed: &HashSet<u32>| {
        text(&Everywhere {
            field: numbers(),
            borrowed,
            optional: Some(numbers()),
            owned: Cow::Owned(numbers()),
            listed: vec![numbers(), numbers()],
            mapped: [(1, numbers())].into(),
            pair: (1, numbers()),
            transparent: Transparent(numbers()),
            newtype: Newtype(numbers()),
            untagged: Untagged::Set(numbers()),
            tagged: Tagged::Set { tags: numbers() },
            flat: Flat { tags: numbers() },
        })
    };
    let first = everywhere(&numbers());
    for _ in 0..10 {
        assert_eq!(everywhere(&numbers()), first);
    }
}

#[test]
fn the_elements_of_a_hash_set_are_sorted_by_their_canonical_forms() {
    assert_eq!(text(&set([10, 9, 1])), "[1,10,9]");
    assert_eq!(text(&set::<u8>([])), "[]");
    assert_eq!(text(&set(["b", "a,", "a"])), r#"["a","a,","b"]"#);
    let set_of_sets = set([BTreeSet::from([2, 1]), BTreeSet::new(), BTreeSet::from([1])]);
    assert_eq!(text(&set_of_sets), "[[1,2],[1],[]]");
    assert_eq!(text(&(0, set([Some(1), None]), 2)), "[0,[1,null],2]");
    assert_eq!(text(&HashMap::from([("in", set(["x"]))])), r#"{"in":["x"]}"#);
}

#[test]
fn what_only_looks_like_a_hash_set_keeps_its_order() {
    assert_eq!(text(&vec![2, 1]), "[2,1]");
    let sets = [set([2]), set([1])];
    assert_eq!(text(&sets), "[[2],[1]]");
    assert_eq!(text(&sets[..]), "[[2],[1]]");
    assert_eq!(text(&Box::<[_]>::from(sets.clone())), "[[2],[1]]");
    assert_eq!(text(&sets.to_vec()), "[[2],[1]]");
    assert_eq!(text(&(sets[0].clone(), sets[1].clone())), "[[2],[1]]");
}
