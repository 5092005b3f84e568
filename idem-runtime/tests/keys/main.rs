//! Canonical JSON, fingerprints, keys and templates, as users see them.
//!
//! The `canonical_*` modules run a second time in `idem-tests`, with `serde_json`'s
//! `preserve_order` and `arbitrary_precision` switched on.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod canonical_properties;
mod canonical_rfc8785;
mod canonical_text;
mod canonical_types;
mod fingerprint;
mod keys;
mod templates;
