//! What the expansion of `#[idempotent]` calls. Not for people: it changes without notice.

#![doc(hidden)]

pub use std::time::Duration;

pub use crate::engine::{Idempotency, Operation, handle};
pub use crate::error::Error;
pub use crate::fingerprint::{Fingerprint, Fingerprinter};
pub use crate::key::{Key, KeyBuilder};
pub use crate::policy::{ReleaseErrors, ReplayErrors, StoreErrors, StoreErrorsAs};
pub use crate::record::CrashPolicy;

/// A call of the operation `name` on a handle that may be missing.
pub fn operation(handle: Result<Idempotency, Error>, name: &'static str) -> Operation {
    Operation::new(handle, name.into())
}
