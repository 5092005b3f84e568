//! What the files in `accepts` and `pass` use beside the facade. The tests are in `attribute.rs`.
//!
//! A package of its own, because trybuild builds what it depends on a second time: the servers and
//! clients that other tests need are not among that.

mod runs;
pub mod strict;

/// A facade that another crate hands on.
pub use idempotency;
pub use runs::{Runs, assert_once, on_memory};
