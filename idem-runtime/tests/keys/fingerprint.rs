//! Fingerprints: what they cover, and that other languages compute the same.

use idem_runtime::Fingerprint;
use idem_runtime::fingerprint::{Fingerprinter, InvalidFingerprint};
use proptest::prelude::*;
use serde::Serialize;

/// Computed by the Python program in the documentation of the module.
#[test]
fn fingerprint_is_what_another_language_computes() {
    #[derive(Serialize)]
    struct Request {
        user_id: u64,
        note: &'static str,
    }
    let request = Request { user_id: 9_007_199_254_740_993, note: "für dich" };
    let fingerprint = Fingerprinter::new("charge")
        .arg(&request)
        .unwrap()
        .arg(&("a", None::<u8>))
        .unwrap()
        .finish();
    assert_eq!(
        fingerprint.to_string(),
        "j1-4c28afb9d75ce412294948a30ee31eb6906f07fcbfa9187e85e469219f7cf14a"
    );
    assert_eq!(
        Fingerprinter::new("charge").finish().to_string(),
        "j1-2045a30e94d6cb119e38475fff64e01ea87670ef98afd73941b783259aad5e87"
    );
}

/// The SHA-256 of `["größe",{"😀":"\u001f","דּ":[1.5,-170141183460469231731687303715884105728]}]`.
#[test]
fn fingerprint_of_the_corner_cases_is_fixed() {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Thing {
        Text(&'static str),
        Numbers(f64, i128),
    }
    let names = std::collections::BTreeMap::from([
        ("\u{fb33}", Thing::Numbers(1.5, i128::MIN)),
        ("\u{1f600}", Thing::Text("\u{1f}")),
    ]);
    assert_eq!(
        Fingerprint::of("größe", &names).unwrap().to_string(),
        "j1-97479a63f59dc4ed698bb8446bd47a0bcae3d3efbe6b78193b4574e5154dee17"
    );
}

#[test]
fn of_is_one_argument() {
    let pair = ("a", 1);
    let whole = Fingerprint::of("op", &pair).unwrap();
    assert_eq!(whole, Fingerprinter::new("op").arg(&pair).unwrap().finish());
    let parts = Fingerprinter::new("op").arg(&pair.0).unwrap().arg(&pair.1).unwrap().finish();
    assert_ne!(whole, parts);
}

#[test]
fn bytes_and_text_read_back() {
    let fingerprint = Fingerprint::of("op", &1).unwrap();
    assert_eq!(Fingerprint::from_bytes(fingerprint.as_bytes()), Ok(fingerprint));
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    assert_eq!(format!("{fingerprint:?}"), fingerprint.to_string());
    assert_eq!(fingerprint.to_string().len(), "j1-".len() + 64);
}

#[test]
fn what_is_no_fingerprint_is_refused() {
    let fingerprint = Fingerprint::of("op", &1).unwrap();
    let bytes = fingerprint.as_bytes();
    let mut other_algorithm = *bytes;
    other_algorithm[0] = 2;
    let is = |bytes: &[u8]| Fingerprint::from_bytes(bytes).unwrap_err();
    for wrong in [&[], &bytes[..1], &bytes[..32], &[bytes.as_slice(), &[0]].concat()] {
        assert_eq!(is(wrong), InvalidFingerprint::WrongLength);
    }
    for other in [&other_algorithm[..], &other_algorithm[..1], &[0; 33], &[255; 65]] {
        assert_eq!(is(other), InvalidFingerprint::UnknownAlgorithm);
    }
    let text = fingerprint.to_string();
    let (cut, accented) = (&text[..66], format!("{}é", &text[..65]));
    for (wrong, why) in [
        ("", InvalidFingerprint::Malformed),
        (&text.replacen('j', "J", 1), InvalidFingerprint::Malformed),
        (&text.replacen("j1", "j", 1), InvalidFingerprint::Malformed),
        (&text.replacen('1', "2", 1), InvalidFingerprint::UnknownAlgorithm),
        ("j17-", InvalidFingerprint::UnknownAlgorithm),
        (&text.to_uppercase().replacen("J1", "j1", 1), InvalidFingerprint::Malformed),
        (&format!("{text}0"), InvalidFingerprint::WrongLength),
        (cut, InvalidFingerprint::WrongLength),
        (&accented, InvalidFingerprint::Malformed),
        (&format!("{}+f", &text[..65]), InvalidFingerprint::Malformed),
    ] {
        assert_eq!(wrong.parse::<Fingerprint>(), Err(why), "{wrong}");
    }
}

#[test]
fn argument_without_canonical_form_is_an_error_that_hides_it() {
    let error =
        Fingerprinter::new("op").arg(&"secret").unwrap().arg(&("secret", f64::NAN)).unwrap_err();
    assert!(error.to_string().contains("argument 2"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    // What the failed one left behind does not get into the next.
    let before = Fingerprint::of("op", &1).unwrap();
    Fingerprint::of("op", &f64::NAN).unwrap_err();
    assert_eq!(Fingerprint::of("op", &1).unwrap(), before);
}

#[test]
fn fingerprint_inside_a_fingerprint() {
    struct Nested(u8);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = Fingerprint::of("inner", &self.0).map_err(serde::ser::Error::custom)?;
            serializer.collect_str(&inner)
        }
    }
    let inner = Fingerprint::of("inner", &7).unwrap().to_string();
    assert_eq!(
        Fingerprint::of("outer", &Nested(7)).unwrap(),
        Fingerprint::of("outer", &inner).unwrap()
    );
}

#[test]
fn fingerprints_are_the_same_in_every_thread_and_after_huge_arguments() {
    let huge = "x".repeat(1 << 20);
    let small = Fingerprint::of("op", "small").unwrap();
    let big = Fingerprint::of("op", &huge).unwrap();
    assert_eq!(Fingerprint::of("op", "small").unwrap(), small);
    let elsewhere = std::thread::spawn(move || Fingerprint::of("op", &huge).unwrap());
    assert_eq!(elsewhere.join().unwrap(), big);
}

proptest! {
    #[test]
    fn different_calls_have_different_fingerprints(
        (operation_a, a) in ("[ab\",\\[\\]]{0,3}", prop::collection::vec("[ab\",\\[\\]é]{0,2}", 0..4)),
        (operation_b, b) in ("[ab\",\\[\\]]{0,3}", prop::collection::vec("[ab\",\\[\\]é]{0,2}", 0..4)),
    ) {
        let fingerprint = |operation: &str, args: &[String]| {
            args.iter().fold(Fingerprinter::new(operation), |f, arg| f.arg(arg).unwrap()).finish()
        };
        prop_assert_eq!(
            (&operation_a, &a) == (&operation_b, &b),
            fingerprint(&operation_a, &a) == fingerprint(&operation_b, &b)
        );
    }
}
