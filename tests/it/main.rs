//! Integration tests of `idempotency`.

mod conformance;
mod redis;
