//! Makes an operation take effect once, however often it is called.
//!
//! See the README for a start.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use idem_runtime::{
    Builder, Context, Error, ErrorKind, Fingerprint, Fingerprinter, Idempotency, IntoKey,
    InvalidFingerprint, Key, KeyBuilder, KeyGenerator, Operation, Outcome, RandomKeys, RecordKey,
    Source, canonical, clock, codec, current, handle, hooks, policy, record, set_global, storage,
    with,
};

#[doc(hidden)]
pub use idem_runtime::macro_support as __private;
