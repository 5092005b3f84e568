//! Runtime of the `idempotency` crate: engine, storages, keys, codecs. Use it through the facade `idempotency`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod canonical;
pub mod clock;
pub mod codec;
pub mod engine;
mod error;
mod fingerprint;
pub mod hooks;
mod key;
pub mod macro_support;
#[cfg(feature = "outbox")]
pub mod outbox;
pub mod policy;
pub mod record;
mod runtime;
mod scan;
pub mod storage;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use engine::{
    Builder, Context, Idempotency, IntoKey, Operation, Outcome, Source, current, handle,
    set_global, with,
};
pub use error::{Error, ErrorKind};
pub use fingerprint::{Fingerprint, Fingerprinter, InvalidFingerprint};
pub use key::{Key, KeyBuilder, KeyGenerator, RandomKeys, RecordKey};

/// The version of `sqlx` whose pools and transactions the SQL storages and the outbox take.
#[cfg(feature = "_sql")]
#[doc(no_inline)]
pub use sqlx;
