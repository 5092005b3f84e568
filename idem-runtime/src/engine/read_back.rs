//! The operations whose results are known to be readable.

use std::collections::HashSet;

use crate::sync::RwLock;

/// More operations than a program has, unless it makes up their names.
const MOST: usize = 1_000;

/// The operations of which a result has been read back as it was stored.
#[derive(Debug, Default)]
pub(crate) struct ReadBack(RwLock<HashSet<Box<str>>>);

impl ReadBack {
    /// Whether a result of this operation is to be read back; of no more operations where there are very many.
    pub(crate) fn is_due(&self, operation: &str) -> bool {
        let known = self.0.read();
        known.len() < MOST && !known.contains(operation)
    }

    /// A result of this operation has been read back.
    pub(crate) fn succeeded(&self, operation: &str) {
        self.0.write().insert(operation.into());
    }
}
