//! Integration tests of `idempotency`.

mod conformance;
mod redis;
mod ui;
