//! Integration tests of `idempotency`; the tests themselves are in `it/` and `ui/`.
