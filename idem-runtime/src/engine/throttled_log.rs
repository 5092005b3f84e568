//! Throttled log lines about a storage that is down.
//!
//! An unreachable storage fails every renewal of every call, several times a second. The first line
//! of a kind is logged at once and says what to do; the next ones are counted, and a later line has
//! their number.

use std::time::Duration;

use crate::key::CallName;
use crate::storage::{StorageError, StorageErrorKind};
use crate::sync::Mutex;
use crate::sync::time::Instant;

/// The pause between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(10);

/// The last line of each kind.
#[derive(Debug, Default)]
pub(crate) struct ThrottledLog(Mutex<Vec<LoggedLine>>);

#[derive(Debug)]
struct LoggedLine {
    failed: FailedWrite,
    cause: Option<StorageErrorKind>,
    at: Instant,
    /// The number of lines since then.
    suppressed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailedWrite {
    Renewal,
    Release,
}

impl ThrottledLog {
    /// A lease was not renewed, because of this error or for lack of an answer in time.
    pub(crate) fn renewal(&self, name: &CallName, error: Option<&StorageError>) {
        let Some(suppressed) = self.admit(FailedWrite::Renewal, error.map(StorageError::kind))
        else {
            return;
        };
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        let error = error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
        tracing::warn!(
            %operation, key_hash, error, suppressed,
            "a lease could not be renewed: its body goes on, and another process may run the key again when the lease is over; \
             check that the storage can be reached"
        );
    }

    /// A key could not be released.
    pub(crate) fn release(&self, name: &CallName, error: &crate::Error) {
        let Some(suppressed) = self.admit(FailedWrite::Release, None) else { return };
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        tracing::warn!(
            %operation, key_hash, %error, suppressed,
            "a key stays locked until its lease expires; check that the storage can be reached"
        );
    }

    /// The number of suppressed lines since the last one; `None` if this line is suppressed too.
    fn admit(&self, failed: FailedWrite, cause: Option<StorageErrorKind>) -> Option<u64> {
        let now = Instant::now();
        let mut lines = self.0.lock();
        match lines.iter_mut().find(|line| (line.failed, line.cause) == (failed, cause)) {
            Some(line) if now.saturating_duration_since(line.at) < PAUSE => {
                line.suppressed += 1;
                None
            }
            Some(line) => {
                line.at = now;
                Some(std::mem::take(&mut line.suppressed))
            }
            None => {
                lines.push(LoggedLine { failed, cause, at: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_line_of_a_kind_is_logged_and_a_later_one_counts_the_suppressed() {
        let log = ThrottledLog::default();
        let (lost, refused) =
            (Some(StorageErrorKind::Indeterminate), Some(StorageErrorKind::NotApplied));
        assert_eq!(log.admit(FailedWrite::Renewal, lost), Some(0));
        for _ in 0..25 {
            assert_eq!(log.admit(FailedWrite::Renewal, lost), None);
        }
        // Of another kind, or about something else.
        assert_eq!(log.admit(FailedWrite::Renewal, refused), Some(0));
        assert_eq!(log.admit(FailedWrite::Renewal, None), Some(0));
        assert_eq!(log.admit(FailedWrite::Release, None), Some(0));
        tokio::time::advance(PAUSE).await;
        assert_eq!(log.admit(FailedWrite::Renewal, lost), Some(25));
        assert_eq!(log.admit(FailedWrite::Renewal, lost), None);
    }
}
