//! Runtime of the `idempotency` crate.
