//! The verbs that go in batches.

use crate::key::RecordKey;
use crate::record::OwnerId;
use crate::storage::transition::Transition;
use crate::storage::{Claim, Complete, Release, Renew};

/// A verb on one record.
pub(crate) trait KeyedVerb:
    Transition<Reply: Send + 'static> + Clone + Send + Sync + 'static
{
    fn key(&self) -> &RecordKey;
    fn owner(&self) -> OwnerId;
}

macro_rules! verbs {
    ($($verb:ty),*) => {
        $(impl KeyedVerb for $verb {
            fn key(&self) -> &RecordKey {
                &self.key
            }
            fn owner(&self) -> OwnerId {
                self.owner
            }
        })*
    };
}

verbs!(Claim, Renew, Complete, Release);
