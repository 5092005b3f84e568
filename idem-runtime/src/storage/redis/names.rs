//! The names of records' keys and channels: the prefix, `{}`, and the record's name.
//!
//! In a Redis Cluster the text between the first `{` and the next `}` of a name chooses its slot,
//! and the whole name does where there is nothing between them. So the `{}` keeps braces in a
//! record's name, which a client of the application may have chosen, from having a meaning: records
//! spread over all slots. A prefix has no braces, so the first `{` of a name also says where its
//! prefix ends, and storages with different prefixes have different keys, whatever the prefixes
//! are.

use std::sync::Arc;

use crate::key::RecordKey;
use crate::storage::{StorageError, StorageErrorKind};

/// Behind the prefix: an empty hash tag.
const NO_TAG: &str = "{}";

/// How one storage names its keys.
#[derive(Clone, Debug)]
pub(super) struct KeyNames {
    /// The prefix and the empty hash tag.
    head: Arc<str>,
}

impl KeyNames {
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when the prefix has a brace.
    pub(super) fn new(prefix: &str) -> Result<Self, StorageError> {
        if prefix.contains(['{', '}']) {
            return Err(StorageError::new(
                StorageErrorKind::Configuration,
                "the prefix of the keys has a brace, which would choose their slot in a cluster; leave it out",
            ));
        }
        Ok(Self { head: [prefix, NO_TAG].concat().into() })
    }

    /// The name of a record's key, and of the channel that its waiters listen to: both are in one
    /// slot.
    pub(super) fn of(&self, key: &RecordKey) -> String {
        [&self.head, key.as_str()].concat()
    }

    /// What the names of all keys begin with, as the application has set it.
    pub(super) fn prefix(&self) -> &str {
        self.head.strip_suffix(NO_TAG).unwrap_or(&self.head)
    }

    /// The record's name in the name of a key; none where the key is not this storage's.
    pub(super) fn record<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&*self.head)
    }

    /// The glob that matches every key of this storage.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.head.len() + 1);
        for character in self.head.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('*');
        pattern
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;

    fn name(prefix: &str, namespace: &str, key: &str) -> String {
        let key = RecordKey::new(namespace, None, &Key::new(key).unwrap()).unwrap();
        KeyNames::new(prefix).unwrap().of(&key)
    }

    #[test]
    fn layout_is_prefix_empty_tag_and_record() {
        assert_eq!(name("idem:", "shop", "payment:42"), "idem:{}shop::key:payment:42");
        assert_eq!(name("", "shop", "{a}1"), "{}shop::key:{a}1");
    }

    #[test]
    fn prefix_with_a_brace_is_refused() {
        for prefix in ["{idem}:", "idem{", "idem}", "{}"] {
            let error = KeyNames::new(prefix).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Configuration);
        }
    }

    #[test]
    fn pattern_matches_the_prefix_as_it_is() {
        assert_eq!(KeyNames::new("idem[*]:").unwrap().pattern(), "idem\\[\\*\\]:{}*");
    }

    proptest! {
        #[test]
        fn different_prefixes_or_records_never_give_the_same_name(
            a in ("[a:%]{0,3}", "[a:%{}]{0,3}", "[a:%{}]{1,4}"),
            b in ("[a:%]{0,3}", "[a:%{}]{0,3}", "[a:%{}]{1,4}"),
        ) {
            let (name_a, name_b) = (name(&a.0, &a.1, &a.2), name(&b.0, &b.1, &b.2));
            prop_assert_eq!(a == b, name_a == name_b);
            let names = KeyNames::new(&a.0).unwrap();
            prop_assert_eq!(names.record(&name_b).is_some(), a.0 == b.0);
        }
    }
}
