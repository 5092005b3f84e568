//! Keys and the names of records.

use std::collections::BTreeSet;

use idem_runtime::key::{HashedArguments, KeyBuilder, KeyGenerator, RecordKey};
use idem_runtime::{ErrorKind, Fingerprint, Key};
use proptest::prelude::*;

#[test]
fn keys_are_bounded() {
    for refused in ["", "a\nb", "\0", "a\u{7f}", "\u{85}", &"x".repeat(513), &"é".repeat(257)] {
        let error = Key::new(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyGeneration);
        assert!(refused.is_empty() || !format!("{error:?}").contains(refused));
    }
    for accepted in ["a", " ", "päiment:42", "😀", &"x".repeat(512), &"é".repeat(256)] {
        assert_eq!(Key::new(accepted).unwrap().as_str(), accepted);
        assert_eq!(Key::from_utf8(accepted.as_bytes()).unwrap(), accepted.parse().unwrap());
        assert_eq!(Key::try_from(accepted).unwrap(), Key::try_from(accepted.to_owned()).unwrap());
    }
}

#[test]
fn bytes_that_are_not_utf8_are_no_key() {
    let error = Key::from_utf8(b"secret\xff").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyGeneration);
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    Key::from_utf8(b"").unwrap_err();
}

#[test]
fn random_keys_are_new_and_sort_by_their_time() {
    let keys: Vec<Key> = (0..10_000).map(|_| Key::random()).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert!(keys.is_sorted());
    assert_eq!(keys[0].as_str().len(), 36);
    assert_eq!(keys[0].as_str().as_bytes()[14], b'7');
}

#[test]
fn hashed_key_is_the_prefix_and_the_fingerprint() {
    let key = Key::hash("invoice", &("c", 1)).unwrap();
    assert_eq!(key.as_str(), format!("invoice:{}", Fingerprint::of("invoice", &("c", 1)).unwrap()));
    assert_eq!(Key::hash("invoice", &f64::NAN).unwrap_err().kind(), ErrorKind::KeyGeneration);
    Key::hash(&"x".repeat(500), &1).unwrap_err();
    Key::hash("a\nb", &1).unwrap_err();
}

#[test]
fn generators_hash_the_arguments_or_are_closures_and_may_fail() {
    let args = Fingerprint::of("op", &1).unwrap();
    let failing = |operation: &str, _: Fingerprint| Key::new(operation.repeat(0));
    let naming = |operation: &str, _: Fingerprint| Key::new(format!("{operation}:fixed"));
    let generate = |generator: &dyn KeyGenerator| generator.generate("op", args);
    assert_eq!(generate(&HashedArguments).unwrap(), Key::hash("op", &1).unwrap());
    assert_eq!(generate(&naming).unwrap().as_str(), "op:fixed");
    assert_eq!(generate(&failing).unwrap_err().kind(), ErrorKind::KeyGeneration);
}

#[test]
fn record_keys_escape_their_scopes_and_keep_the_key() {
    let key = Key::new("a:b%c").unwrap();
    let name =
        |namespace, tenant| RecordKey::new(namespace, tenant, &key).unwrap().as_str().to_owned();
    assert_eq!(name("n", None), "n::key:a:b%c");
    assert_eq!(name("", Some("t")), ":t:key:a:b%c");
    assert_eq!(name("n%:\n", Some("é:")), "n%25%3A%0A:é%3A:key:a:b%c");
}

#[test]
fn empty_or_overlong_scopes_are_errors() {
    let key = Key::new("k").unwrap();
    let long = "x".repeat(RecordKey::MAX_SCOPE_LEN);
    let longest = KeyBuilder::new(512).literal(&"k".repeat(512)).finish().unwrap();
    let longest = RecordKey::new(&long, Some(&long), &longest).unwrap();
    assert_eq!(longest.as_str().len(), RecordKey::MAX_LEN);
    for (namespace, tenant) in [
        ("n", Some("")),
        (&format!("{long}x"), None),
        ("n", Some(format!("{long}x").as_str())),
        ("n", Some(&":".repeat(43))),
    ] {
        let error = RecordKey::new(namespace, tenant, &key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyGeneration);
        assert!(!format!("{error:?}").contains("xxx"), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Tenants cannot reach one another's records by choosing keys.
    #[test]
    fn different_triples_never_give_the_same_record_key(
        a in ("[a:%253A\n]{0,3}", prop::option::of("[a:%253A\n]{1,3}"), "[a:%253A]{1,4}"),
        b in ("[a:%253A\n]{0,3}", prop::option::of("[a:%253A\n]{1,3}"), "[a:%253A]{1,4}"),
    ) {
        let name = |(namespace, tenant, key): &(String, Option<String>, String)| {
            RecordKey::new(namespace, tenant.as_deref(), &Key::new(key.as_str()).unwrap()).unwrap()
        };
        prop_assert_eq!(a == b, name(&a) == name(&b));
        // Reading the name back proves it for all triples that give this name.
        let name = name(&a);
        let parts: Vec<&str> = name.as_str().splitn(4, ':').collect();
        prop_assert_eq!(unescape(parts[0]), a.0);
        prop_assert_eq!(Some(unescape(parts[1])).filter(|tenant| !tenant.is_empty()), a.1);
        prop_assert_eq!((parts[2], parts[3]), ("key", a.2.as_str()));
    }
}

fn unescape(text: &str) -> String {
    text.replace("%3A", ":").replace("%0A", "\n").replace("%25", "%")
}

/// Tools print names and read them back; logs have the hash, which is the same wherever it is computed.
#[test]
fn names_display_whole_and_are_hashed_for_logs() {
    let key = Key::new("mail:alice@example.org").unwrap();
    let name = RecordKey::new("billing", Some("a:b"), &key).unwrap();
    assert_eq!(name.to_string(), "billing:a%3Ab:key:mail:alice@example.org");
    assert_eq!(RecordKey::from_stored(name.to_string()), name);
    assert_eq!(format!("{name:>44}|"), "    billing:a%3Ab:key:mail:alice@example.org|");
    let hash = name.key_hash();
    assert_eq!(hash, "3f118ba856ae3ee0");
    assert_ne!(hash, RecordKey::new("billing", None, &key).unwrap().key_hash());
}
