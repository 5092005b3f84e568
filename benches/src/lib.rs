//! Benchmarks of `idempotency`.
