//! The operation that has used a key, for the text of a [`Mismatch`](crate::ErrorKind::Mismatch).
//! It decides nothing.
//!
//! A record does not hold the name of its operation, but its owner's id has a tag of it: 32 bits of
//! a hash. This process remembers the names of the operations that it has called, and finds the
//! name by the tag.

use once_cell::sync::OnceCell;

/// More operations than a program has, unless it generates their names.
const MOST: usize = 512;

/// The slots that are tried for a name.
const SLOTS: usize = 8;

pub(super) static OPERATION_NAMES: OperationNames = OperationNames::new();

/// Names, at or after the slot that their tag gives them. They are never removed.
pub(super) struct OperationNames([OnceCell<Box<str>>; MOST]);

impl OperationNames {
    const fn new() -> Self {
        Self([const { OnceCell::new() }; MOST])
    }

    /// Remembers an operation and returns its tag. If there are too many, the last are forgotten.
    pub(super) fn remember(&self, operation: &str) -> u32 {
        let tag = tag(operation);
        for slot in self.slots(tag) {
            if **slot.get_or_init(|| operation.into()) == *operation {
                break;
            }
        }
        tag
    }

    /// The remembered operation with this tag.
    pub(super) fn named(&self, tag: u32) -> Option<&str> {
        let names = self.slots(tag).map_while(OnceCell::get);
        names.map(|name| &**name).find(|name| self::tag(name) == tag)
    }

    fn slots(&self, tag: u32) -> impl Iterator<Item = &OnceCell<Box<str>>> {
        let first = usize::try_from(tag).unwrap_or_default();
        (first..).take(SLOTS).map(|slot| &self.0[slot % MOST])
    }
}

/// FNV-1a, folded. Stored in records, so it never changes.
fn tag(operation: &str) -> u32 {
    let hash = operation.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    u32::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_always_the_same() {
        assert_eq!(tag(""), 0xcbf2_9ce4 ^ 0x8422_2325);
        assert_eq!(tag("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
    }

    #[test]
    fn an_operation_that_was_called_is_known_by_its_tag() {
        let names = OperationNames::new();
        assert_eq!(names.named(tag("called")), None);
        for _ in 0..2 {
            assert_eq!(names.remember("called"), tag("called"));
            assert_eq!(names.named(tag("called")), Some("called"));
        }
        assert_eq!(names.named(tag("never called")), None);
    }

    #[test]
    fn more_operations_than_there_are_places_do_no_harm() {
        let names = OperationNames::new();
        let made_up = |number| format!("made up {number}");
        let tags: Vec<_> = (0..4 * MOST).map(|number| names.remember(&made_up(number))).collect();
        let known = |(number, tag): &(usize, u32)| match names.named(*tag) {
            Some(name) => name == made_up(*number),
            None => false,
        };
        assert!(tags.into_iter().enumerate().filter(known).count() > MOST / 2);
    }
}
