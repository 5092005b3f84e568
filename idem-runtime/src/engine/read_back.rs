//! The operations whose results are known to decode.

use std::collections::HashSet;

use crate::sync::RwLock;

/// More operations than a program has, unless it generates their names.
const MOST: usize = 1_000;

/// The operations of which a stored result was decoded successfully.
#[derive(Debug, Default)]
pub(crate) struct ReadBack(RwLock<HashSet<Box<str>>>);

impl ReadBack {
    /// Whether a result of this operation has to be decoded once. No longer if there are too many
    /// operations.
    pub(crate) fn is_due(&self, operation: &str) -> bool {
        let known = self.0.read();
        known.len() < MOST && !known.contains(operation)
    }

    /// A result of this operation was decoded.
    pub(crate) fn succeeded(&self, operation: &str) {
        self.0.write().insert(operation.into());
    }
}
