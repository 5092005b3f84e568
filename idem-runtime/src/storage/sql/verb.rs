//! The verbs that go in batches.

use crate::key::RecordKey;
use crate::storage::transition::Transition;
use crate::storage::{Claim, Complete, Release, Renew};

/// A verb on one record.
pub(crate) trait Verb:
    Transition<Reply: Send + 'static> + Clone + Send + Sync + 'static
{
    fn key(&self) -> &RecordKey;
}

macro_rules! verbs {
    ($($verb:ty),*) => {
        $(impl Verb for $verb {
            fn key(&self) -> &RecordKey {
                &self.key
            }
        })*
    };
}

verbs!(Claim, Renew, Complete, Release);
