//! Canonical JSON where somebody in the build has switched on `preserve_order` and
//! `arbitrary_precision` of `serde_json`: `cargo test -p idem-json-tests --features serde-json-features`.
//!
//! The tests of `idem-runtime` run again as they are, and some more on what these features change.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "../../idem-runtime/tests/keys/canonical_properties.rs"]
mod canonical_properties;
#[path = "../../idem-runtime/tests/keys/canonical_rfc8785.rs"]
mod canonical_rfc8785;
#[path = "../../idem-runtime/tests/keys/canonical_text.rs"]
mod canonical_text;
#[path = "../../idem-runtime/tests/keys/canonical_types.rs"]
mod canonical_types;

use idem_runtime::{Fingerprint, canonical};
use serde_json::Value;

fn canonical(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap();
    String::from_utf8(canonical::to_vec(&value).unwrap()).unwrap()
}

#[test]
fn the_features_are_on_in_this_build() {
    let json = r#"{"z":1.00,"a":12345678901234567890123}"#;
    let value: Value = serde_json::from_str(json).unwrap();
    assert_eq!(value.to_string(), json);
}

#[test]
fn insertion_order_does_not_matter() {
    assert_eq!(canonical(r#"{"z":1,"a":{"y":2,"b":3}}"#), r#"{"a":{"b":3,"y":2},"z":1}"#);
    assert_eq!(canonical(r#"{"a":{"b":3,"y":2},"z":1}"#), r#"{"a":{"b":3,"y":2},"z":1}"#);
}

#[test]
fn numbers_of_any_length_keep_their_digits() {
    assert_eq!(canonical("12345678901234567890123"), "12345678901234567890123");
    assert_eq!(canonical("-18446744073709551617"), "-18446744073709551617");
    assert_eq!(canonical("0.10000000000000000001"), "0.10000000000000000001");
    assert_ne!(canonical("0.10000000000000000001"), canonical("0.1"));
}

#[test]
fn numbers_that_a_float_holds_are_written_as_without_the_features() {
    assert_eq!(canonical("[1.00, 1e2, 1E30, 2e-3, -0.0]"), "[1,100,1e+30,0.002,0]");
}

#[test]
fn values_and_types_have_the_same_fingerprint() {
    #[derive(serde::Serialize)]
    struct Order {
        total: f64,
        id: u128,
        tags: Vec<&'static str>,
    }
    let order = Order { total: 19.90, id: u128::MAX, tags: vec!["ä", "\n"] };
    let value: Value =
        serde_json::from_str(&format!(r#"{{"tags":["ä","\n"],"total":19.90,"id":{}}}"#, u128::MAX))
            .unwrap();
    assert_eq!(Fingerprint::of("op", &value).unwrap(), Fingerprint::of("op", &order).unwrap());
}

#[test]
fn numbers_as_map_keys_are_their_digits() {
    let keys: Vec<serde_json::Number> = serde_json::from_str("[2.50, 10]").unwrap();
    let map: std::collections::HashMap<_, _> = keys.into_iter().zip(["a", "b"]).collect();
    let written = canonical::to_vec(&map).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), r#"{"10":"b","2.5":"a"}"#);
}
