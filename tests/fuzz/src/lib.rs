//! What reads bytes that somebody else wrote, each with what must hold for whatever bytes.
//!
//! A target takes bytes and panics where something does not hold. `cargo fuzz` feeds them from `libfuzzer/`, and a test feeds them with the
//! corpora that are kept there and with mutations of those.
#![allow(clippy::panic, clippy::expect_used, reason = "that is how a target says what it found")]

mod canonical;
mod codec;
mod header;
mod key;
mod multipart;
mod redis;
mod snapshot;
mod sql;

// The attribute's own parser, which a macro crate cannot hand out.
#[allow(dead_code, reason = "only the parser is of interest here")]
#[path = "../../../idem-macros/src/problem.rs"]
mod problem;
#[allow(dead_code, reason = "only the parser is of interest here")]
#[path = "../../../idem-macros/src/template.rs"]
mod template;

/// Something to feed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// How many inputs it takes while a fast one takes a thousand.
    pub pace: u64,
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "canonical_json", run: canonical::json, pace: 500 },
    Target { name: "codec_envelope", run: codec::envelope, pace: 1000 },
    Target { name: "http_header", run: header::field, pace: 1000 },
    Target { name: "http_multipart", run: multipart::body, pace: 1000 },
    Target { name: "http_snapshot", run: snapshot::stored, pace: 500 },
    Target { name: "key_template", run: key::template, pace: 100 },
    Target { name: "redis_record", run: redis::record, pace: 1000 },
    Target { name: "sql_row", run: sql::row, pace: 10 },
];

/// Feeds the target of this name.
///
/// # Panics
///
/// When there is none, and when something does not hold.
pub fn feed(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(bytes);
}
