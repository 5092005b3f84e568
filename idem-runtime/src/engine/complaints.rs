//! Lines about a storage in trouble, few enough to be read.
//!
//! A storage that cannot be reached fails every renewal of every call, several times a second. The first of each kind is told at once, with
//! what to do; those that follow are counted, and the next line says how many there were.

use std::time::Duration;

use crate::key::CallName;
use crate::storage::{StorageError, StorageErrorKind};
use crate::sync::Mutex;
use crate::sync::time::Instant;

/// Between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(10);

/// What is told, by what failed and why.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<Vec<Told>>);

#[derive(Debug)]
struct Told {
    what: What,
    cause: Option<StorageErrorKind>,
    at: Instant,
    unsaid: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Renewal,
    Release,
}

impl Complaints {
    /// A lease was not renewed: for this reason, or because there was no answer in time.
    pub(crate) fn renewal(&self, name: &CallName, error: Option<&StorageError>) {
        let Some(unsaid) = self.say(What::Renewal, error.map(StorageError::kind)) else { return };
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        let error = error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
        tracing::warn!(
            %operation, key_hash, error, unsaid,
            "a lease could not be renewed: its body goes on, and another process may run the key again once the lease is over; \
             see that the storage can be reached"
        );
    }

    /// A key could not be released.
    pub(crate) fn release(&self, name: &CallName, error: &crate::Error) {
        let Some(unsaid) = self.say(What::Release, None) else { return };
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        tracing::warn!(
            %operation, key_hash, %error, unsaid,
            "a key stays locked until its lease runs out; see that the storage can be reached"
        );
    }

    /// How many of its kind were left unsaid since the last; none where this one is left unsaid as well.
    fn say(&self, what: What, cause: Option<StorageErrorKind>) -> Option<u64> {
        let now = Instant::now();
        let mut all = self.0.lock();
        match all.iter_mut().find(|told| (told.what, told.cause) == (what, cause)) {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => {
                told.unsaid += 1;
                None
            }
            Some(told) => {
                told.at = now;
                Some(std::mem::take(&mut told.unsaid))
            }
            None => {
                all.push(Told { what, cause, at: now, unsaid: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_kind_is_said_and_the_next_says_how_many_were_not() {
        let complaints = Complaints::default();
        let (lost, refused) =
            (Some(StorageErrorKind::Indeterminate), Some(StorageErrorKind::NotApplied));
        assert_eq!(complaints.say(What::Renewal, lost), Some(0));
        for _ in 0..25 {
            assert_eq!(complaints.say(What::Renewal, lost), None);
        }
        // Of another kind, or about something else.
        assert_eq!(complaints.say(What::Renewal, refused), Some(0));
        assert_eq!(complaints.say(What::Renewal, None), Some(0));
        assert_eq!(complaints.say(What::Release, None), Some(0));
        tokio::time::advance(PAUSE).await;
        assert_eq!(complaints.say(What::Renewal, lost), Some(25));
        assert_eq!(complaints.say(What::Renewal, lost), None);
    }
}
