//! Keys from templates, and that no two of them meet.

use std::fmt;

use idem_runtime::key::{KeyBuilder, RecordKey};
use idem_runtime::{Error, ErrorKind, Key};
use proptest::prelude::*;

/// A template's literals and values in their order.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Value(String),
}
use Part::{Literal, Value};

fn fill(parts: &[Part]) -> Result<Key, Error> {
    let builder = parts.iter().try_fold(KeyBuilder::new(64), |key, part| match part {
        Literal(text) => Ok(key.literal(text)),
        Value(value) => key.value("v", value),
    });
    builder.and_then(KeyBuilder::finish)
}

/// The key of a template that is written as the attribute's, without braces in its literals.
fn filled(template: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let parts: Vec<Part> = template
        .split_inclusive("{}")
        .flat_map(|part| {
            let literal = part.strip_suffix("{}").unwrap_or(part);
            let value = part.ends_with("{}").then(|| Value((*values.next().unwrap()).to_owned()));
            [Some(Literal(literal.to_owned())), value]
        })
        .flatten()
        .collect();
    fill(&parts).unwrap().as_str().to_owned()
}

/// Records of these stay in storages: what this test says never changes.
#[test]
fn values_stand_in_parentheses_and_only_what_could_be_misread_is_escaped() {
    assert_eq!(filled("payment:{}", &["42"]), "payment:(42)");
    assert_eq!(filled("order:{}:{}", &["eu", "7"]), "order:(eu):(7)");
    assert_eq!(filled("job:{}", &["a:b/c d(e"]), "job:(a:b/c d(e)");
    assert_eq!(filled("job:{}", &["a)b"]), "job:(a%29b)");
    assert_eq!(filled("job:{}", &["100%"]), "job:(100%25)");
    assert_eq!(filled("job:{}", &["a\nb\u{7f}\u{85}"]), "job:(a%0Ab%7F%C2%85)");
    assert_eq!(filled("f(x)%:{}", &["é"]), "f%28x)%25:(é)");
    assert_eq!(filled("v{}{}", &["1", "2"]), "v(1)(2)");
    assert_eq!(filled("a\tb{}!", &["1"]), "a%09b(1)!");
}

#[test]
fn templates_never_meet_by_their_values() {
    let apart = [
        (filled("job:{}", &["x:y"]), filled("job:{}:{}", &["x", "y"])),
        (filled("order:refund:{}", &["5"]), filled("order:{}:{}", &["refund", "5"])),
        (filled("job:{}", &["5)"]), filled("job:{}", &["5%29"])),
        (filled("job:{}:(x)", &["5"]), filled("job:{}:{}", &["5", "x"])),
        (filled("job:{}-{}", &["a", "b-c"]), filled("job:{}-{}", &["a-b", "c"])),
        (filled("job(5)", &[]), filled("job{}", &["5"])),
    ];
    for (one, other) in apart {
        assert_ne!(one, other);
    }
    assert_eq!(filled("job:{}", &["5"]), filled("job:{}", &["5"]));
}

/// The same text, made as a whole key, as a template, as a hash and by a client of HTTP.
#[test]
fn spaces_are_apart_whatever_the_texts_are() {
    let template = fill(&[Literal("job:".into()), Value("5".into())]).unwrap();
    let whole = Key::new(template.as_str()).unwrap();
    let client = Key::http(template.as_str()).unwrap();
    let hash = Key::hash("job", &5).unwrap();
    let [whole_hash, client_hash] = [Key::new, Key::http].map(|new| new(hash.as_str()).unwrap());
    let keys = [template, whole, client, hash, whole_hash, client_hash];
    let names = keys.clone().map(|key| RecordKey::new("n", None, &key).unwrap());
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key) && !names[..index].contains(&names[index]));
    }
    assert_eq!(names[0].as_str(), "n::template:job:(5)");
    assert_eq!(names[1].as_str(), "n::key:job:(5)");
    assert_eq!(names[2].as_str(), "n::http:job:(5)");
    assert!(names[3].as_str().starts_with("n::hash:job:j1-"), "{}", names[3].as_str());
}

#[test]
fn value_without_a_literal_before_it_is_an_error_that_names_the_placeholder() {
    for literal in ["", ":", "::-/", " ", "{", "("] {
        let error = KeyBuilder::new(0).literal(literal).value("id", &5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyGeneration);
        assert!(error.to_string().contains("`id` has no literal before it"), "{error}");
    }
    for literal in ["job:", "7", ":é"] {
        KeyBuilder::new(0).literal(literal).value("id", &5).unwrap().finish().unwrap();
    }
}

#[test]
fn empty_value_is_an_error_that_names_the_placeholder() {
    let error = KeyBuilder::new(0).literal("p:").value("req.user", "").unwrap_err();
    assert!(error.to_string().contains("`req.user` is empty"), "{error}");
}

#[test]
fn value_that_cannot_be_displayed_is_an_error() {
    struct Broken;
    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("secret")?;
            Err(fmt::Error)
        }
    }
    let error = KeyBuilder::new(0).literal("p:").value("broken", &Broken).unwrap_err();
    assert!(error.to_string().contains("`broken` cannot be displayed"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn value_that_is_too_long_is_an_error_and_is_not_read_to_its_end() {
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("0123456789")?;
            }
        }
    }
    /// Goes on after its formatter has refused, and claims that all is well.
    struct Stubborn;
    impl fmt::Display for Stubborn {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for _ in 0..1000 {
                let _ = f.write_str("0123456789");
            }
            Ok(())
        }
    }
    let huge = "x".repeat(10 << 20);
    for value in [&Endless as &dyn fmt::Display, &Stubborn, &huge] {
        let error = KeyBuilder::new(0).literal("p:").value("long", value).unwrap_err();
        assert!(error.to_string().contains("`long` makes the key too long"), "{error}");
    }
}

#[test]
fn key_is_bounded_with_its_escapes_and_literals() {
    let fits = "x".repeat(Key::MAX_LEN - "p:()".len());
    assert_eq!(filled("p:{}", &[&fits]).len(), Key::MAX_LEN);
    let escaped = ")".repeat(Key::MAX_LEN / 3);
    KeyBuilder::new(0).literal("p:").value("v", &escaped).unwrap_err();
    let full = KeyBuilder::new(0).literal("p:").value("v", &fits).unwrap();
    full.literal("!").finish().unwrap_err();
    KeyBuilder::new(0).literal(&"x".repeat(513)).value("v", &1).unwrap_err();
    KeyBuilder::new(usize::MAX).finish().unwrap_err();
}

/// A template with values, of few characters, so that literals and values often look like each other.
fn template() -> impl Strategy<Value = Vec<Part>> {
    const TEXT: &str = "[a:%2()9/é\n\u{85}]{1,4}";
    let value = TEXT.prop_map(Value);
    let literal = TEXT.prop_map(Literal);
    // `a` is the letter that a template has to have before its first value.
    let first = "[:%2()]{0,2}a[a:%2()9/]{0,2}".prop_map(Literal);
    (first, prop::collection::vec(prop_oneof![2 => value, 1 => literal], 0..5)).prop_map(
        |(first, rest)| {
            let mut parts = vec![first];
            for part in rest {
                match (parts.last_mut(), part) {
                    // Literals side by side are one.
                    (Some(Literal(before)), Literal(text)) => before.push_str(&text),
                    (_, part) => parts.push(part),
                }
            }
            parts
        },
    )
}

/// Reads template and values out of a key, knowing neither.
fn read_back(key: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), key);
    while !rest.is_empty() {
        let (literal, behind) = rest.split_once('(').unwrap_or((rest, ""));
        if !literal.is_empty() {
            parts.push(Literal(unescaped(literal)));
        }
        if literal.len() < rest.len() {
            let (value, behind) = behind.split_once(')').unwrap();
            parts.push(Value(unescaped(value)));
            rest = behind;
        } else {
            rest = "";
        }
    }
    parts
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Namespace, tenant and key of a record, and the name of the key's space.
fn record() -> impl Strategy<Value = (String, Option<String>, Key, &'static str)> {
    const SCOPE: &str = "[a:%{}(\n\u{85}é]{0,3}";
    const TEXT: &str = "[a:%()2{}é]{1,4}";
    let key = prop_oneof![
        template().prop_map(|parts| (fill(&parts).unwrap(), "template")),
        TEXT.prop_map(|text| (Key::new(text).unwrap(), "key")),
        TEXT.prop_map(|text| (Key::http(text).unwrap(), "http")),
        TEXT.prop_map(|text| (Key::hash(&text, &1).unwrap(), "hash")),
    ];
    let tenant = prop::option::of(SCOPE.prop_filter("a tenant is not empty", |t| !t.is_empty()));
    (SCOPE, tenant, key)
        .prop_map(|(namespace, tenant, (key, space))| (namespace, tenant, key, space))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// That template and values can be read back proves for all others that they give another key.
    #[test]
    fn template_and_values_can_be_read_back_from_the_key(parts in template()) {
        let key = fill(&parts).unwrap();
        prop_assert_eq!(read_back(key.as_str()), parts);
    }

    #[test]
    fn different_templates_or_values_never_give_the_same_key(a in template(), b in template()) {
        prop_assert_eq!(a == b, fill(&a).unwrap() == fill(&b).unwrap());
    }

    /// That scopes, space and key can be read back proves for all others that they give another name.
    #[test]
    fn scopes_space_and_key_can_be_read_back_from_the_records_name(
        (namespace, tenant, key, space) in record(),
    ) {
        let name = RecordKey::new(&namespace, tenant.as_deref(), &key).unwrap();
        let parts: Vec<&str> = name.as_str().splitn(4, ':').collect();
        prop_assert_eq!(unescaped(parts[0]), namespace);
        prop_assert_eq!(Some(unescaped(parts[1])).filter(|tenant| !tenant.is_empty()), tenant);
        prop_assert_eq!((parts[2], parts[3]), (space, key.as_str()));
    }
}
