//! Canonical JSON, beside another implementation of RFC 8785.

use idem_runtime::canonical::{from_json, to_vec};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// JSON, or else bytes that a value is made of.
pub(crate) fn json(bytes: &[u8]) {
    whole_text(bytes);
    let parsed = serde_json::from_slice::<Value>(bytes).ok();
    let is_text = parsed.is_some();
    let value = parsed.unwrap_or_else(|| Maker(bytes).value(6));
    let Ok(ours) = to_vec(&value) else {
        // What serde_json reads has a canonical form.
        assert!(!is_text, "{value} has none");
        return;
    };
    let read: Value = serde_json::from_slice(&ours).expect("canonical JSON is JSON");
    assert_eq!(to_vec(&read).ok(), Some(ours.clone()), "it is not canonical");
    if is_exact(&value) {
        let theirs = serde_json_canonicalizer::to_vec(&value).expect("a value is JSON");
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string());
    }
    if is_text && is_exact(&value) && !has_float(&value) {
        as_text(bytes, &ours);
    }
}

/// What has a canonical form is JSON, and its canonical form has itself.
fn whole_text(bytes: &[u8]) {
    let Ok(ours) = from_json(bytes) else { return };
    serde_json::from_slice::<Box<RawValue>>(bytes).expect("it is JSON to others too");
    assert_eq!(from_json(&ours).ok(), Some(ours), "it is not canonical");
}

/// A text that is kept as it is means what it means when it is read; but it may say a name twice, which has no canonical form, and its
/// numbers keep digits that an `f64` has no room for.
fn as_text(bytes: &[u8], ours: &[u8]) {
    let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(bytes) else { return };
    let of_text = to_vec(&raw).ok();
    assert_eq!(from_json(bytes).ok(), of_text, "a text is canonicalised in two ways");
    if let Some(of_text) = of_text {
        assert_eq!(of_text.escape_ascii().to_string(), ours.escape_ascii().to_string());
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Whether no integer is beyond what an `f64` counts, where the RFC rounds and this library does not.
fn is_exact(value: &Value) -> bool {
    const MAX: u64 = 1 << 53;
    match value {
        Value::Number(number) => number
            .as_u64()
            .map_or(number.as_i64().is_none_or(|n| n.unsigned_abs() <= MAX), |n| n <= MAX),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Makes values of bytes.
struct Maker<'b>(&'b [u8]);

impl Maker<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn eight(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }

    fn text(&mut self) -> String {
        let len = usize::from(self.byte() % 8).min(self.0.len());
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        let wide = text.iter().map(|byte| char::from_u32(u32::from(*byte) * 0x1F1).unwrap_or('"'));
        if len % 2 == 0 { wide.collect() } else { String::from_utf8_lossy(text).into_owned() }
    }

    fn value(&mut self, depth: u8) -> Value {
        match self.byte() % if depth == 0 { 6 } else { 8 } {
            0 => Value::Null,
            1 => Value::Bool(self.byte().is_multiple_of(2)),
            2 => Value::from(i64::from_be_bytes(self.eight())),
            3 => Value::from(u64::from_be_bytes(self.eight()) >> (self.byte() % 64)),
            4 => {
                let float = f64::from_bits(u64::from_be_bytes(self.eight()));
                Number::from_f64(float).map_or(Value::Null, Value::Number)
            }
            5 => Value::String(self.text()),
            6 => {
                let len = self.byte() % 6;
                Value::Array((0..len).map(|_| self.value(depth - 1)).collect())
            }
            _ => {
                let len = self.byte() % 6;
                let members = (0..len).map(|_| (self.text(), self.value(depth - 1)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}
