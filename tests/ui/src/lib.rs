//! What the files in `pass` use beside the facade. The tests are in `attribute.rs`.
//!
//! A package of its own, because each of those files is a program that is linked: the servers and clients that other tests need would be
//! built a second time for them.

mod runs;
pub mod strict;

/// A facade that another crate hands on.
pub use idempotency;
pub use runs::{Runs, assert_once, on_memory};
