//! All that happens, as a number and perhaps as text.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use idem_runtime::record::OwnerId;

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Trace {
    hash: DefaultHasher,
    story: Option<Vec<String>>,
    owners: BTreeMap<[u8; 16], usize>,
    line: String,
}

impl Trace {
    /// Nothing has happened. The text is kept where `is_told`.
    pub fn new(is_told: bool) -> Self {
        Self { story: is_told.then(Vec::new), ..Self::default() }
    }

    /// Something happens.
    pub fn tell(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string does not fail.
        let _ = fmt::write(&mut self.line, format_args!("{now:>6} ms  {what}"));
        self.hash.write(self.line.as_bytes());
        if let Some(story) = &mut self.story {
            story.push(self.line.clone());
        }
    }

    /// Owner ids are random; what they are called here is not.
    pub fn owner(&mut self, owner: OwnerId) -> usize {
        let next = self.owners.len();
        *self.owners.entry(owner.to_bytes()).or_insert(next)
    }

    /// The number.
    pub fn number(&self) -> u64 {
        self.hash.finish()
    }

    /// The text.
    pub fn into_story(self) -> Vec<String> {
        self.story.unwrap_or_default()
    }
}
