//! The published conformance suite, on the storages that need no server; and the suite itself, on storages that are wrong.

mod faulty;
mod memory;
mod retrying;
