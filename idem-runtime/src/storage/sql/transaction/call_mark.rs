//! The mark that a Postgres transaction carries of its last call.

use std::fmt;

use crate::key::RecordKey;
use crate::record::OwnerId;

/// A call whose record is part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallMark {
    pub(crate) key: RecordKey,
    pub(crate) owner: OwnerId,
}

impl CallMark {
    pub(crate) fn of(claim: &crate::storage::Claim) -> Self {
        Self { key: claim.key.clone(), owner: claim.owner }
    }

    /// The part that was written as this text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (owner, key) = text.split_once(':')?;
        let owner = u128::from_str_radix(owner, 16).ok()?;
        Some(Self {
            key: RecordKey::from_stored(key),
            owner: OwnerId::from_bytes(owner.to_be_bytes()),
        })
    }
}

impl fmt::Display for CallMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.owner, self.key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::CallMark;
    use crate::key::RecordKey;
    use crate::record::OwnerId;

    #[test]
    fn a_part_is_read_as_it_was_written() {
        for key in ["billing::payment:42", "a:b:c:d", "n::Ä'\\\""] {
            let part = CallMark { key: RecordKey::from_stored(key), owner: OwnerId::random() };
            assert_eq!(CallMark::parse(&part.to_string()), Some(part));
        }
        for text in ["", ":", "1", "x:k"] {
            assert_eq!(CallMark::parse(text), None, "{text}");
        }
    }
}
