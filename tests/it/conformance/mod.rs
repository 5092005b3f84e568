//! The published conformance suite, on the storages that need no server; and the suite itself, on storages that are wrong.

mod faulty;
pub(crate) mod flawed;
pub(crate) mod memory;
mod mutants;
mod retrying;
