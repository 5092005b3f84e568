//! Canonical JSON: one byte sequence for one value, in every process and in every language.
//!
//! Two calls with equal arguments must get equal fingerprints, independent of a map's order and of
//! the service that computes them. So the hash is over the canonical form of [RFC 8785] (JCS) of
//! the JSON that `serde_json` would print, with one deliberate difference: **integers keep all
//! their digits**. JCS rounds numbers beyond ±2^53 to the nearest `f64`, which would make two
//! different order ids one and the same call.
//!
//! | Rust value | canonical form |
//! |---|---|
//! | integers up to `i128` / `u128` | all their digits |
//! | `f64` | ECMAScript's `Number::toString`: `5.0` → `5`, `1e21` → `1e+21`, `-0.0` → `0` |
//! | `f32` | its own shortest decimal, in the same layout: `0.1f32` → `0.1` |
//! | NaN, infinities | an error (`serde_json` prints `null`, which would merge them) |
//! | strings, chars | escaped only where JSON demands it |
//! | byte slices and `serialize_bytes` | an array of numbers |
//! | `HashSet` | an array, sorted by the bytes of the elements' canonical forms |
//! | structs, maps | sorted by the UTF-16 code units of the names, of which none may occur twice |
//! | enum variants, newtypes, options, units | as `serde_json` |
//! | map keys that are no strings | their canonical JSON text: `{(1, 2): …}` → `{"[1,2]":…}` |
//! | `serde_json`'s numbers, raw values | the number or JSON that they hold, see below |
//!
//! The order of a sequence is part of its value. To serde a `HashSet` is a sequence too, in an
//! order that differs between processes. Its elements are sorted: a type whose name ends in
//! `HashSet` is recognised anywhere in a value, such as those of `std`, `hashbrown` and crates
//! built on them. A converted set is not recognised: a `serde_json::Value`, the sequence of a
//! `#[serde(with = "…")]`, a type of your own that serializes element by element. Use a `BTreeSet`
//! there.
//!
//! # Values held as text
//!
//! With its `arbitrary_precision` feature `serde_json` keeps numbers as text. Such an integer keeps
//! its digits; any other number is laid out as ECMAScript lays out an `f64`, but with all
//! significant digits of the text. The form is the same where an `f64` holds the number, and texts
//! of different numbers always differ. A `RawValue`, and the input of [`from_json`], is parsed and
//! canonicalised by the same rules.
//!
//! # Limits
//!
//! Nesting is limited to 127 arrays and objects, the limit of `serde_json`'s parser. Values that
//! JSON cannot distinguish stay one value: `None` and `Some(())`; as a map's key `None` and
//! `"null"`; in untagged enums and `serde_json::Value` an integer and a float that print the same
//! digits, such as `5` and `5.0`.
//!
//! [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785

mod compound;
mod error;
mod members;
mod number;
mod private;
mod serializer;
mod sets;
mod string;
mod text;
mod writer;

pub use error::Error;
pub use text::{from_json, from_json_without};
pub(crate) use writer::Buffers;
pub use writer::{append, to_vec};
