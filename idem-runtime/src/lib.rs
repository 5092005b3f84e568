//! Runtime of the `idempotency` crate: engine, storages, keys, codecs. Use it through the facade `idempotency`.

pub mod canonical;
pub mod clock;
pub mod codec;
pub mod engine;
mod error;
mod fingerprint;
mod key;
pub mod record;
pub mod storage;

pub use error::{Error, ErrorKind};
pub use fingerprint::{Fingerprint, Fingerprinter, InvalidFingerprint};
pub use key::{Key, KeyBuilder, KeyGenerator, RandomKeys, RecordKey};
