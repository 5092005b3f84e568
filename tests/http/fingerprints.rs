//! What counts as the same request: by content type, byte for byte, and by a function of the service's own.
//!
//! Each case is a first request and another one with its key, in both orders: a pair that is one request is replayed, and any other is a 422.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderName, Method};
use idempotency::http::{BodyFingerprint, IdempotencyLayer};

use crate::service::Counting;
use crate::stage::Stage;

on_every_storage! {
    json_is_what_it_says_and_not_how_it_is_written,
    a_form_is_its_parts,
}

/// A body and its headers.
#[derive(Clone, Debug)]
struct Sent {
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

fn sent(content_type: &str, body: impl AsRef<[u8]>) -> Sent {
    let headers = vec![("content-type", content_type.to_owned())];
    Sent { headers, body: Bytes::copy_from_slice(body.as_ref()) }
}

fn json(body: impl AsRef<[u8]>) -> Sent {
    sent("application/json", body)
}

impl Sent {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A service that is asked whether two requests are one.
struct Compared {
    service: Counting,
    pairs: usize,
}

impl Compared {
    async fn on(
        stage: &Stage,
        settings: impl FnOnce(IdempotencyLayer) -> IdempotencyLayer,
    ) -> Self {
        Self { service: Counting::with(stage, settings).await, pairs: 0 }
    }

    async fn usual() -> Self {
        Self::on(&Stage::on_memory(), |layer| layer).await
    }

    async fn is_replayed(&mut self, first: &Sent, second: &Sent) -> bool {
        self.pairs += 1;
        let key = format!("k{}", self.pairs);
        let mut replies = Vec::new();
        for Sent { headers, body } in [first, second] {
            let client = &self.service.client;
            let request = client.request(Method::POST, "/a").header("idempotency-key", &key);
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
            replies.push(client.send(request, body.clone()).await);
        }
        assert_ne!(replies[0].status, 422, "{first:?}");
        if replies[1].status == 422 {
            replies[1].assert_problem(422, "key-reused");
            return false;
        }
        assert!(replies[1].is_replayed(), "{second:?}: {:?}", replies[1]);
        true
    }

    async fn same(&mut self, a: Sent, b: Sent) {
        assert!(self.is_replayed(&a, &b).await, "they are one request: {a:?} {b:?}");
        assert!(self.is_replayed(&b, &a).await, "they are one request: {b:?} {a:?}");
    }

    async fn other(&mut self, a: Sent, b: Sent) {
        assert!(self.is_replayed(&a, &a).await, "it is itself: {a:?}");
        assert!(!self.is_replayed(&a, &b).await, "they are two requests: {a:?} {b:?}");
        assert!(!self.is_replayed(&b, &a).await, "they are two requests: {b:?} {a:?}");
    }
}

async fn json_is_what_it_says_and_not_how_it_is_written(stage: Stage) {
    let mut compared = Compared::on(&stage, |layer| layer).await;
    let charge = r#"{"to":"bob","amount":5}"#;
    compared.same(json(charge), json("{ \"amount\": 5,\r\n\t\"to\": \"b\\u006fb\" }\n")).await;
    compared.other(json(charge), json(r#"{"to":"bob","amount":6}"#)).await;
}

#[tokio::test]
async fn equal_json_is_one_request() {
    let mut compared = Compared::usual().await;
    for (a, b) in [
        (r#"{"a":{"b":1,"c":[{"d":2,"e":3}]}}"#, r#"{"a":{"c":[{"e":3,"d":2}],"b":1}}"#),
        (r#"["a/b","é","\n"]"#, r#"[ "a\/b", "\u00e9", "\u000a" ]"#),
        (r#""😀""#, r#""\ud83d\ude00""#),
        ("[1.50,100,0.1]", "[1.5,1e2,1E-1]"),
        ("true", " true\n"),
        ("{}", "{ }"),
        (r#"{"":1,"a":2}"#, r#"{"a":2,"":1}"#),
        (r#"{"\u0000":1,"A":2}"#, r#"{"\u0041":2,"\u0000":1}"#),
        (r#"{"a":1,"é":2,"😀":3,"﷐":4}"#, r#"{"😀":3,"﷐":4,"é":2,"a":1}"#),
    ] {
        compared.same(json(a), json(b)).await;
    }
    let nested = |depth: usize, inner: &str| {
        format!("{}{inner}{}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    let (a, b) = (nested(127, r#"{"a":1,"b":2}"#), nested(127, r#"{"b":2,"a":1}"#));
    compared.same(json(a), json(b)).await;
}

#[tokio::test]
async fn json_that_says_something_else_is_another_request() {
    let mut compared = Compared::usual().await;
    for (a, b) in [
        ("[9007199254740993]", "[9007199254740992]"),
        ("[18446744073709551616]", "[18446744073709551617]"),
        ("[-9007199254740993]", "[-9007199254740992]"),
        ("[1e400]", "[1e401]"),
        ("[1e-400]", "[0]"),
        ("[1e-400]", "[1e-401]"),
        ("[0.1]", "[0.1000000000000000055511151231257827]"),
        ("[9007199254740992.5]", "[9007199254740992]"),
        ("[1]", "[-1]"),
        ("[1]", r#"["1"]"#),
        ("[1]", "[10]"),
        ("[1,2]", "[2,1]"),
        ("[[1],2]", "[[1,2]]"),
        ("[1]", "1"),
        ("[]", "{}"),
        ("[null]", "[]"),
        ("[null]", r#"["null"]"#),
        ("[false]", "[null]"),
        ("[false]", "[0]"),
        (r#"{"a":null}"#, "{}"),
        (r#"{"a":1}"#, r#"{"A":1}"#),
        (r#"{"a":"b"}"#, r#"{"b":"a"}"#),
        (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#),
        (r#"{"a":" b"}"#, r#"{"a":"b"}"#),
        (r#"["\u0000"]"#, r#"["\\u0000"]"#),
        // The same to the eye.
        (r#"["\u00e9"]"#, r#"["e\u0301"]"#),
        (r#"["a","b"]"#, r#"["a\",\"b"]"#),
    ] {
        compared.other(json(a), json(b)).await;
    }
}

/// There two readers may disagree on what it says.
#[tokio::test]
async fn what_is_no_json_or_could_be_two_things_is_compared_byte_for_byte() {
    let mut compared = Compared::usual().await;
    for body in [
        r#"{"a":1,"a":2}"#,
        r#"{"b":0,"a":1,"\u0061":2}"#,
        r#"{"x":{"a":1,"a":1}}"#,
        r#"{"a":1"#,
        r#"{"a":1}}"#,
        "{a:1}",
        "[1,]",
        "[,1]",
        "[01]",
        "[+1]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[-]",
        "[NaN]",
        "[tru]",
        "[1 2]",
        "['a']",
        r#"["\x"]"#,
        r#"["\ud83d"]"#,
        "[\"\t\"]",
        "{\"a\":1}{\"a\":1}",
        "{\"a\" 1}",
        "{1:1}",
        "[1] // one",
        "[1e99999999999999999999]",
    ] {
        compared.other(json(body), json(format!(" {body}"))).await;
    }
    for body in [&b"\xef\xbb\xbf[1]"[..], b"[\"\xff\"]", b"", b"\0"] {
        let spaced = [body, b" "].concat();
        // Only what is a text reaches the handler of these tests: a body that is none is an answer of 400, and stored like others.
        compared.other(json(body), json(spaced)).await;
    }
}

/// Canonical JSON, parts, what the service's own function says, and bytes are hashed apart.
#[tokio::test]
async fn bytes_that_happen_to_be_anothers_canonical_form_are_another_request() {
    let stage = Stage::on_memory();
    let of_own = |layer: IdempotencyLayer| {
        layer.fingerprint_headers([]).fingerprint_body(|request, body| {
            if request.headers.contains_key("x-own") {
                BodyFingerprint::json_without(body, &[])
            } else {
                BodyFingerprint::by_content_type()
            }
        })
    };
    let mut compared = Compared::on(&stage, of_own).await;
    let body = r#"{"a":1}"#;
    compared.other(sent("text/plain", body), json(body)).await;
    compared.other(json(body), json(body).with("x-own", "1")).await;
    compared.other(sent("text/plain", body), sent("text/plain", body).with("x-own", "1")).await;
    // Of no content type, a JSON text is bytes.
    compared.other(sent("text/plain", body), sent("text/plain", r#"{ "a":1}"#)).await;
    let none = |body: &str| Sent { headers: Vec::new(), body: body.to_owned().into() };
    compared.other(none(body), none(r#"{ "a":1}"#)).await;
    compared.same(none(body), sent("text/plain", body)).await;
}

#[tokio::test]
async fn no_nesting_takes_the_stack_and_none_takes_long() {
    let mut compared = Compared::usual().await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let depth = 400_000 / open.len();
        let deep = format!("{}1{}", open.repeat(depth / 2), close.repeat(depth / 2));
        let begun = std::time::Instant::now();
        compared.other(json(&deep), json(format!("{deep} "))).await;
        compared.other(json(open.repeat(depth)), json("[")).await;
        assert!(begun.elapsed() < crate::stage::PATIENCE);
    }
}

#[tokio::test]
async fn content_types_of_json_are_read_as_such() {
    let mut compared = Compared::usual().await;
    let (a, b) = (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
    for content_type in [
        "application/problem+json",
        "application/vnd.api+json",
        "application/vnd.api+json; profile=\"x\"",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "Application/JSON",
    ] {
        compared.same(sent(content_type, a), sent(content_type, b)).await;
    }
    for (one, same) in [
        ("application/json", "application/JSON; Charset=\"utf-8\""),
        ("application/json; v=1", "application/json; V=\"1\""),
    ] {
        compared.same(sent(one, a), sent(same, b)).await;
    }
    for (one, other) in [
        ("application/json", "application/vnd.api+json"),
        ("application/json", "application/json; v=1"),
        ("application/json; v=a", "application/json; v=A"),
        ("application/json; v=1; w=2", "application/json; v=2; w=1"),
    ] {
        compared.other(sent(one, a), sent(other, a)).await;
    }
    for bytes in [
        "text/plain",
        "text/json",
        "application/jsonl",
        "application/json-seq",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=latin1",
        "application/json, text/plain",
        "json",
        "application/x+jsonp",
    ] {
        compared.other(sent(bytes, a), sent(bytes, b)).await;
    }
    let twice = |body| sent("application/json", body).with("content-type", "application/json");
    compared.other(twice(a), twice(b)).await;
    compared.other(twice(a), json(a)).await;
}

#[tokio::test]
async fn what_is_encoded_is_compared_byte_for_byte() {
    let mut compared = Compared::usual().await;
    let (a, b) = (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
    for encoding in ["gzip", "br", "x-own"] {
        let encoded = |body| json(body).with("content-encoding", encoding);
        compared.other(encoded(a), encoded(b)).await;
        compared.other(encoded(a), json(a)).await;
        let form = |boundary| form(boundary, &[FIELD, FILE]).with("content-encoding", encoding);
        compared.other(form("one"), form("two")).await;
    }
}

#[tokio::test]
async fn a_layer_may_compare_byte_for_byte() {
    let mut compared = Compared::on(&Stage::on_memory(), IdempotencyLayer::exact_bodies).await;
    compared.other(json(r#"{"a":1,"b":2}"#), json(r#"{"b":2,"a":1}"#)).await;
    compared.other(json("[1]"), json("[1] ")).await;
    compared.other(form("one", &[FIELD]), form("two", &[FIELD])).await;
    compared.other(json("[1]"), sent("application/json; charset=utf-8", "[1]")).await;
}

type Part = (&'static str, &'static str);

const FIELD: Part = ("Content-Disposition: form-data; name=\"to\"", "bob");
const FILE: Part = (
    "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain",
    "line\r\n--\r\n\r\nline\n",
);
const DETAILS: Part = (
    "content-disposition: form-data; name=\"details\"\r\ncontent-type: application/json",
    r#"{"a":1,"b":2}"#,
);

fn parts(boundary: &str, of: &[Part]) -> String {
    let mut body = String::new();
    for (headers, content) in of {
        write!(body, "--{boundary}\r\n{headers}\r\n\r\n{content}\r\n").unwrap();
    }
    body + &format!("--{boundary}--\r\n")
}

fn form(boundary: &str, of: &[Part]) -> Sent {
    of_boundary(boundary, parts(boundary, of))
}

fn of_boundary(boundary: &str, body: String) -> Sent {
    sent(&format!("multipart/form-data; boundary={boundary}"), body)
}

async fn a_form_is_its_parts(stage: Stage) {
    let mut compared = Compared::on(&stage, |layer| layer).await;
    let boundary = "----WebKitFormBoundaryAb3DkEfGh1JkLmNo";
    compared.same(form(boundary, &[FIELD, FILE]), form("0123456789abcdef", &[FIELD, FILE])).await;
    let other = (FIELD.0, "eve");
    compared.other(form(boundary, &[FIELD, FILE]), form("x", &[other, FILE])).await;
}

#[tokio::test]
async fn forms_of_equal_parts_are_one_request() {
    let mut compared = Compared::usual().await;
    let quoted = |boundary: &str, of: &[Part]| {
        sent(&format!("Multipart/Form-Data; Boundary=\"{boundary}\""), parts(boundary, of))
    };
    compared.same(form("x", &[FIELD]), quoted("a b'()+_,-./:=?c", &[FIELD])).await;
    compared.same(form("x", &[FIELD, FIELD]), form("-", &[FIELD, FIELD])).await;
    compared.same(form("x", &[]), form("y", &[])).await;
    compared.same(form("x", &[(FIELD.0, "")]), form("y", &[(FIELD.0, "")])).await;
    let unended = |boundary| of_boundary(boundary, parts(boundary, &[FILE]).trim_end().to_owned());
    compared.same(unended("x"), form("y", &[FILE])).await;
    let reordered = (DETAILS.0, r#"{ "b": 2, "a": 1 }"#);
    compared.same(form("x", &[DETAILS, FILE]), form("y", &[reordered, FILE])).await;
    let mixed = |boundary: &str| {
        sent(&format!("multipart/mixed; boundary={boundary}"), parts(boundary, &[FILE]))
    };
    compared.same(mixed("x"), mixed("y")).await;
    compared.other(mixed("x"), form("x", &[FILE])).await;
}

#[tokio::test]
async fn forms_of_other_parts_are_other_requests() {
    let mut compared = Compared::usual().await;
    let of = |part: Part| vec![FIELD, part];
    for (a, b) in [
        (vec![FIELD, FILE], vec![FILE, FIELD]),
        (vec![FIELD], vec![FIELD, FIELD]),
        (vec![FIELD], vec![]),
        // Where one piece ends is part of what is hashed.
        (vec![("A: b", "xhC: dby")], vec![("A: b", "x"), ("C: d", "y")]),
        (vec![("A: b", "c")], vec![("A: bbc", "")]),
        (of(FILE), of((FILE.0, "line\r\n--\r\n\r\nline"))),
        (of(FILE), of((FIELD.0, FILE.1))),
        (of(("A: b", "c")), of(("A: b\r\nC: d", "c"))),
        (of(("A: b", "\r\n\r\nc")), of(("A: b", "\r\nc"))),
        (of(("A: b", "c\r\n")), of(("A: b", "c"))),
        (of(DETAILS), of((DETAILS.0, r#"{"a":1,"b":3}"#))),
        (of(DETAILS), of((DETAILS.0, r#"{"a":1,"a":1,"b":2}"#))),
    ] {
        compared.other(form("x", &a), form("x", &b)).await;
        compared.other(form("x", &a), form("y", &b)).await;
    }
    // What says that it is encoded, or that it is no JSON, is not read as JSON.
    for header in [
        "Content-Type: text/plain",
        "Content-Type: application/json\r\nContent-Transfer-Encoding: base64",
        "Content-Type: application/json\r\nContent-Encoding: gzip",
        "Content-Type: application/json\r\nContent-Type: application/json",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json\r\n folded",
    ] {
        let (a, b) = ((header, r#"{"a":1,"b":2}"#), (header, r#"{"b":2,"a":1}"#));
        compared.other(form("x", &[a]), form("x", &[b])).await;
    }
}

/// Readers of forms differ in what they make of these.
#[tokio::test]
async fn a_form_that_is_not_written_as_forms_are_is_compared_byte_for_byte() {
    let mut compared = Compared::usual().await;
    let malformed: [fn(&str) -> String; 17] = [
        |boundary| format!("preamble\r\n{}", parts(boundary, &[FIELD])),
        |boundary| format!("\r\n{}", parts(boundary, &[FIELD])),
        |boundary| format!("{}epilogue", parts(boundary, &[FIELD])),
        |boundary| format!("{}\r\n", parts(boundary, &[FIELD])),
        |boundary| parts(boundary, &[FIELD]).replace("\r\n", "\n"),
        |boundary| parts(boundary, &[FIELD]).replace(&format!("--{boundary}--\r\n"), ""),
        |boundary| parts(boundary, &[FIELD]).replace(&format!("--{boundary}--"), boundary),
        |boundary| {
            parts(boundary, &[FIELD])
                .replace(&format!("{boundary}\r\n"), &format!("{boundary} \r\n"))
        },
        |boundary| parts(boundary, &[FIELD]).replace("bob", &format!("bob\n--{boundary}\n")),
        |boundary| parts(boundary, &[FIELD]).replace("bob", &format!("bob--{boundary}")),
        |boundary| {
            let smuggled = format!("bob--{boundary}\r\nA: b\r\n\r\nc");
            parts(boundary, &[FIELD]).replace("bob", &smuggled)
        },
        |boundary| {
            let smuggled = format!("bob\n--{boundary}\r\nA: b\r\n\r\nc");
            parts(boundary, &[FIELD]).replace("bob", &smuggled)
        },
        |boundary| parts(boundary, &[FIELD]).replace("bob", &format!("bob\r\n--{boundary}x")),
        |boundary| {
            parts(boundary, &[FIELD]).replace("bob", &format!("bob\r\n--{boundary}--\r\nmore"))
        },
        |boundary| format!("--{boundary}\r\nno end of headers\r\n--{boundary}--\r\n"),
        |boundary| format!("--{boundary}\r\n\r\nno headers\r\n--{boundary}--\r\n"),
        |_| String::new(),
    ];
    for body in malformed {
        compared.other(of_boundary("one", body("one")), of_boundary("two", body("two"))).await;
    }
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; boundary=y",
        "multipart/form-data; boundary=\"x \"",
        "multipart/form-data; boundary=x*",
        "text/plain; boundary=x",
    ] {
        let with_details = |content| sent(content_type, parts("x", &[(DETAILS.0, content)]));
        compared.other(with_details(r#"{"a":1,"b":2}"#), with_details(r#"{"b":2,"a":1}"#)).await;
    }
    // The boundary is what divides them: the same bytes under another one are another form.
    let nested = parts("in", &[FIELD]);
    let outer = format!("--out\r\nA: b\r\n\r\n{nested}\r\n--out--\r\n");
    compared.other(of_boundary("out", outer.clone()), of_boundary("in", outer)).await;
    let long = "b".repeat(71);
    let with_details = |content| of_boundary(&long, parts(&long, &[(DETAILS.0, content)]));
    compared.other(with_details(r#"{"a":1,"b":2}"#), with_details(r#"{"b":2,"a":1}"#)).await;
}

/// As of a sender that counts its attempts in the event, and of one whose form fields come in any order.
#[tokio::test]
async fn a_service_says_for_itself_what_is_compared() {
    let layer = |layer: IdempotencyLayer| {
        layer.fingerprint_body(|request, body| match request.headers.get("x-kind") {
            Some(kind) if kind == "event" => {
                BodyFingerprint::json_without(body, &["pending_webhooks", "attempt"])
            }
            Some(kind) if kind == "fields" => {
                let mut fields: Vec<_> = body.split(|byte| *byte == b'&').collect();
                fields.sort_unstable();
                BodyFingerprint::of(&fields)
            }
            Some(kind) if kind == "nan" => BodyFingerprint::of(&f64::NAN),
            Some(_) => BodyFingerprint::exact(),
            None => BodyFingerprint::by_content_type(),
        })
    };
    let mut compared = Compared::on(&Stage::on_memory(), layer).await;
    let event = |body: &str| json(body).with("x-kind", "event");
    let first = r#"{"id":"evt_1","attempt":1,"data":{"attempt":1},"pending_webhooks":2}"#;
    compared.same(event(first), event(r#"{"data":{"attempt":1},"attempt":2,"id":"evt_1"}"#)).await;
    compared.other(event(first), event(r#"{"id":"evt_1","attempt":1,"data":{"attempt":2}}"#)).await;
    compared.other(event(first), event(r#"{"id":"evt_2","data":{"attempt":1}}"#)).await;
    compared.other(event(first), event(&format!("{first}x"))).await;
    let fields =
        |body: &str| sent("application/x-www-form-urlencoded", body).with("x-kind", "fields");
    compared.same(fields("a=1&b=2"), fields("b=2&a=1")).await;
    compared.other(fields("a=1&b=2"), fields("a=2&b=1")).await;
    let nan = |body: &str| json(body).with("x-kind", "nan");
    compared.other(nan("[1]"), nan("[1] ")).await;
    let exact = |body: &str| json(body).with("x-kind", "exact");
    compared.other(exact("[1]"), exact("[1] ")).await;
    compared.same(json("[1]"), json("[1] ")).await;
    compared.same(form("x", &[FIELD]), form("y", &[FIELD])).await;
}

#[tokio::test]
async fn a_function_of_the_services_own_sees_encoded_bodies_and_forms_too() {
    let stage = Stage::on_memory();
    let all_one = |layer: IdempotencyLayer| {
        let content_type = HeaderName::from_static("content-type");
        let layer = layer.fingerprint_headers([content_type]).exact_bodies();
        layer.fingerprint_body(|_, body| BodyFingerprint::of(&body.len().is_multiple_of(2)))
    };
    let mut compared = Compared::on(&stage, all_one).await;
    let gzip = |body| sent("text/plain", body).with("content-encoding", "gzip");
    compared.same(gzip("ab"), gzip("cd")).await;
    compared.other(gzip("ab"), gzip("c")).await;
    compared.same(form("x", &[]), form("xyz", &[])).await;
}
