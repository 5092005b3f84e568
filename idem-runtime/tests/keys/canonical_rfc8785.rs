//! The vectors of RFC 8785.

use idem_runtime::canonical;
use serde_json::value::RawValue;

fn text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

/// Appendix B: the bits of a double and its text.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_of_appendix_b() {
    for (bits, expected) in NUMBERS {
        assert_eq!(text(&f64::from_bits(*bits)), *expected, "{bits:016x}");
    }
}

#[test]
fn numbers_of_appendix_b_as_values() {
    for (bits, expected) in NUMBERS {
        let value = serde_json::Value::from(f64::from_bits(*bits));
        assert_eq!(text(&value), *expected, "{bits:016x}");
    }
}

#[test]
fn numbers_of_appendix_b_that_are_errors() {
    for bits in [0x7fff_ffff_ffff_ffff, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000] {
        canonical::to_vec(&f64::from_bits(bits)).unwrap_err();
    }
}

#[test]
#[expect(clippy::excessive_precision, reason = "the sample is to be rounded")]
fn sample_of_section_3_2_2() {
    #[derive(serde::Serialize)]
    struct Sample {
        numbers: [f64; 5],
        string: &'static str,
        literals: [Option<bool>; 3],
    }
    let sample = Sample {
        numbers: [333_333_333.333_333_29, 1E30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
        string: "\u{20ac}$\u{000F}\u{000a}A'\u{0042}\u{0022}\u{005c}\\\"/",
        literals: [None, Some(true), Some(false)],
    };
    let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    assert_eq!(text(&sample), expected);
}

#[test]
fn sample_of_section_3_2_3_sorts_by_utf16_code_units() {
    let sample = r#"{
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\ud83d\ude00": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis"
    }"#;
    let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
        \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
        \"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(text(&serde_json::from_str::<serde_json::Value>(sample).unwrap()), expected);
    assert_eq!(text(&serde_json::from_str::<&RawValue>(sample).unwrap()), expected);
}

#[test]
fn every_ascii_character_is_escaped_as_in_section_3_2_2_2() {
    for code in 0..0x80u8 {
        let expected = match code {
            0x08 => r"\b".to_owned(),
            0x09 => r"\t".to_owned(),
            0x0a => r"\n".to_owned(),
            0x0c => r"\f".to_owned(),
            0x0d => r"\r".to_owned(),
            0x22 => r#"\""#.to_owned(),
            0x5c => r"\\".to_owned(),
            0x00..0x20 => format!("\\u{code:04x}"),
            _ => char::from(code).to_string(),
        };
        // In the middle of a long string, so that no chunk-wise scan can miss it.
        for before in 0..20 {
            let string = format!("{}{}é", "x".repeat(before), char::from(code));
            assert_eq!(text(&string), format!("\"{}{expected}é\"", "x".repeat(before)));
        }
    }
}
