//! Runtime of the `idempotency` crate.

pub mod canonical;
