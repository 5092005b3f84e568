//! Numbers and JSON that reach the serializer as text.

use idem_runtime::canonical;
use proptest::prelude::*;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::value::RawValue;

/// What a `serde_json::Number` is with `arbitrary_precision`, whether or not that feature is on.
struct NumberText<'t>(&'t str);

impl Serialize for NumberText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const TOKEN: &str = "$serde_json::private::Number";
        let mut number = serializer.serialize_struct(TOKEN, 1)?;
        number.serialize_field(TOKEN, self.0)?;
        number.end()
    }
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

fn raw(json: &str) -> String {
    text(serde_json::from_str::<&RawValue>(json).unwrap())
}

#[test]
fn number_texts() {
    for (number, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("-0e999999999999999999", "0"),
        ("12", "12"),
        ("-12", "-12"),
        ("100000000000000000000000000000", "100000000000000000000000000000"),
        ("1.0", "1"),
        ("-1.50", "-1.5"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("1.25e1", "12.5"),
        ("12e-1", "1.2"),
        ("100e-4", "0.01"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("12e20", "1.2e+21"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("0.00000012", "1.2e-7"),
        ("1e0000000000000000000000000000002", "100"),
        ("9007199254740993.0", "9007199254740993"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("123456789012345678901234.5", "1.234567890123456789012345e+23"),
        ("1e400", "1e+400"),
    ] {
        assert_eq!(text(&NumberText(number)), expected, "{number}");
        assert_eq!(raw(number), expected, "{number}");
    }
}

#[test]
fn exponents_beyond_reason_are_an_error() {
    for number in ["1e9223372036854775807", "-1e-9223372036854775809", "1e99999999999999999999"] {
        canonical::to_vec(&NumberText(number)).unwrap_err();
    }
    for number in ["1e+9223372036854775806", "1e-9223372036854775808"] {
        assert_eq!(text(&NumberText(number)), number);
    }
}

/// Of two decimals that are equally short and equally close, ECMAScript takes the even one.
#[test]
#[expect(clippy::excessive_precision, reason = "the exact values show that both are equally close")]
fn ties_between_shortest_decimals_go_to_the_even_digit() {
    assert_eq!(text(&245_122_949_032_842.625), "245122949032842.62");
    assert_eq!(text(&245_122_949_032_842.875), "245122949032842.88");
    assert_eq!(text(&2f64.powi(-44)), "5.684341886080802e-14");
    assert_eq!(text(&262_144.125f32), "262144.12");
}

#[test]
fn raw_values_are_canonicalised() {
    assert_eq!(raw(" { \"b\" : [ 1.0 , true, null ] ,\n\"a\":\"\\u0041\\/\\u000a\" } "), {
        r#"{"a":"A/\n","b":[1,true,null]}"#
    });
    assert_eq!(raw("[ ]"), "[]");
    assert_eq!(raw("{ }"), "{}");
    assert_eq!(raw("18446744073709551617"), "18446744073709551617");
    assert_eq!(text(&("x", serde_json::from_str::<Box<RawValue>>("[false]").unwrap())), {
        r#"["x",[false]]"#
    });
}

#[test]
fn raw_values_refuse_equal_names_and_deep_nesting() {
    let refused = |json: &str| {
        canonical::to_vec(serde_json::from_str::<&RawValue>(json).unwrap()).unwrap_err().to_string()
    };
    assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), "two members of one object have the same name");
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(raw(&deep(127)), deep(127));
    assert_eq!(refused(&deep(128)), "the value is nested too deeply");
}

#[test]
fn json_text_has_the_canonical_form_of_what_it_says() {
    let of =
        |json: &str| String::from_utf8(canonical::from_json(json.as_bytes()).unwrap()).unwrap();
    assert_eq!(of(" { \"b\" : [ 1.0 , true, null ] ,\n\"a\":\"\\u0041\\/\" } "), {
        r#"{"a":"A/","b":[1,true,null]}"#
    });
    assert_eq!(of("9007199254740993"), "9007199254740993");
    assert_eq!(of(r#""\ud83d\ude00 \\\" \u001f""#), r#""😀 \\\" \u001f""#);
    assert_eq!(of(r#"{"﷐":1,"😀":2}"#), r#"{"😀":2,"﷐":1}"#, "in the order of UTF-16");
}

#[test]
fn what_is_no_json_text_has_no_canonical_form() {
    let refused = |json: &[u8]| canonical::from_json(json).unwrap_err().to_string();
    let no_json: [&[u8]; 24] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1]]",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{1:1}",
        b"nul",
        b"nulll",
        b"\"a",
        b"\"\\\"",
        b"\"\xff\"",
        b"'a'",
        b"\xef\xbb\xbf1",
    ];
    for json in no_json {
        assert_eq!(refused(json), "a text is not valid JSON", "{}", json.escape_ascii());
    }
    for json in [&b"\"\n\""[..], b"\"\\x\"", b"\"\\ud800\"", b"\"\\u12\"", b"{\"\\x\":1}"] {
        assert_eq!(refused(json), "a text is not valid JSON", "{}", json.escape_ascii());
    }
    for json in [&b"01"[..], b"-", b"1.", b"1e", b"1e+", b"--1", b"1.2.3", b"1e2e3", b"-01"] {
        let why = "a number's text is not a JSON number, or its exponent is out of range";
        assert_eq!(refused(json), why, "{}", json.escape_ascii());
    }
    assert_eq!(
        refused(br#"{"a":1,"b":2,"\u0061":3}"#),
        "two members of one object have the same name"
    );
}

#[test]
fn json_text_may_be_nested_as_deep_as_a_value() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    assert_eq!(canonical::from_json(&deep(127)).unwrap(), deep(127));
    for depth in [128, 1_000_000] {
        let why = canonical::from_json(&deep(depth)).unwrap_err().to_string();
        assert_eq!(why, "the value is nested too deeply");
        canonical::from_json(&vec![b'['; depth]).unwrap_err();
    }
}

#[test]
fn members_may_be_left_out_of_the_outermost_object_alone() {
    let without = |json: &str, names: &[&str]| {
        let json = canonical::from_json_without(json.as_bytes(), names).unwrap();
        String::from_utf8(json).unwrap()
    };
    assert_eq!(without(r#"{"a":1,"b":{"a":2},"c":[{"a":3}]}"#, &["a", "x"]), {
        r#"{"b":{"a":2},"c":[{"a":3}]}"#
    });
    assert_eq!(without(r#"{"\u0061":{"z":1,"y":2}}"#, &["a"]), "{}");
    assert_eq!(without(r#"{"b":1,"a":{"z":[{}]},"c":2}"#, &["a"]), r#"{"b":1,"c":2}"#);
    assert_eq!(without(r#"[{"a":1}]"#, &["a"]), r#"[{"a":1}]"#);
    canonical::from_json_without(br#"{"a":[1,],"b":2}"#, &["a"]).unwrap_err();
}

prop_compose! {
    /// A JSON number as mantissa digits, a place for the point, and an exponent.
    fn number_parts()(
        negative: bool,
        digits in "[1-9][0-9]{0,24}|0",
        fraction in "[0-9]{0,24}",
        exponent in prop::option::of(-30i32..30),
    ) -> (bool, String, String, Option<i32>) {
        (negative, digits, fraction, exponent)
    }
}

fn spell((negative, digits, fraction, exponent): &(bool, String, String, Option<i32>)) -> String {
    let sign = if *negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    let exponent = exponent.map(|e| format!("e{e}")).unwrap_or_default();
    format!("{sign}{digits}{point}{fraction}{exponent}")
}

/// The exact value: sign, digits without zeros at either end, and the exponent of the last digit.
fn value_of(number: &str) -> (bool, String, i32) {
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = format!("{integer}{fraction}");
    let digits = all.trim_end_matches('0');
    let trailing = i32::try_from(all.len() - digits.len()).unwrap();
    let last = exponent.parse::<i32>().unwrap() - i32::try_from(fraction.len()).unwrap() + trailing;
    let digits = digits.trim_start_matches('0').to_owned();
    if digits.is_empty() { (false, digits, 0) } else { (mantissa.starts_with('-'), digits, last) }
}

proptest! {
    #[test]
    fn number_texts_keep_their_exact_value(parts in number_parts()) {
        let number = spell(&parts);
        let written = text(&NumberText(&number));
        prop_assert_eq!(value_of(&written), value_of(&number));
        prop_assert_eq!(text(&NumberText(&written)), written);
    }

    #[test]
    fn number_texts_that_a_float_holds_are_written_as_that_float(float: f64) {
        prop_assume!(float.is_finite());
        let shortest = serde_json::to_string(&float).unwrap();
        prop_assert_eq!(text(&NumberText(&shortest)), text(&float));
    }

    #[test]
    fn single_precision_is_its_shortest_decimal_read_as_double(float: f32) {
        prop_assume!(float.is_finite());
        let read: f64 = serde_json::to_string(&float).unwrap().parse().unwrap();
        prop_assert_eq!(text(&float), text(&read));
    }
}
