//! Integration tests of `idempotency`.

mod conformance;
