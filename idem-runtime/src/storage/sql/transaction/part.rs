//! What a transaction says of the call that became part of it.

use std::fmt;
use std::time::Duration;

use crate::key::RecordKey;
use crate::record::{OwnerId, millis};

/// A call whose record is part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) key: RecordKey,
    pub(crate) owner: OwnerId,
    /// How long the record can be looked for.
    pub(crate) ttl: Duration,
}

/// SQLite marks nothing.
#[cfg(any(feature = "postgres", feature = "mysql"))]
impl Part {
    pub(crate) fn of(claim: &crate::storage::Claim) -> Self {
        Self { key: claim.key.clone(), owner: claim.owner, ttl: claim.ttl }
    }

    /// The part that was written as this text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, ':');
        let owner = u128::from_str_radix(fields.next()?, 16).ok()?;
        let ttl = fields.next()?.parse().ok()?;
        Some(Self {
            key: RecordKey::from_stored(fields.next()?),
            owner: OwnerId::from_bytes(owner.to_be_bytes()),
            ttl: Duration::from_millis(ttl),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.owner, millis(self.ttl), self.key.as_str())
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "mysql")))]
mod tests {
    use std::time::Duration;

    use super::Part;
    use crate::key::RecordKey;
    use crate::record::OwnerId;

    #[test]
    fn a_part_is_read_as_it_was_written() {
        for key in ["billing::payment:42", "a:b:c:d", "n::Ä'\\\""] {
            let part = Part {
                key: RecordKey::from_stored(key),
                owner: OwnerId::random(),
                ttl: Duration::from_millis(90_061),
            };
            assert_eq!(Part::parse(&part.to_string()), Some(part));
        }
        for text in ["", ":", "1:2", "x:1:k", "1:x:k"] {
            assert_eq!(Part::parse(text), None, "{text}");
        }
    }
}
