//! The quota of new keys of a principal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::principal::Principal;

/// Counts the new keys of each principal per period. It holds the principals that sent new keys in
/// this period.
pub(crate) struct Quota {
    keys: u32,
    period: Duration,
    current: Mutex<Period>,
}

struct Period {
    began: Instant,
    used: HashMap<Principal, u32>,
}

impl Quota {
    pub(crate) fn new(keys: u32, period: Duration) -> Self {
        let current = Period { began: Instant::now(), used: HashMap::new() };
        Self { keys, period, current: Mutex::new(current) }
    }

    /// The time until the next period, if the quota is used up.
    pub(crate) fn used_up(&self, principal: &Principal) -> Option<Duration> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = current.began.elapsed();
        let used = current.used.get(principal).copied().unwrap_or_default();
        (elapsed < self.period && used >= self.keys).then(|| self.period.saturating_sub(elapsed))
    }

    /// Counts a new key, or gives the time until the next period.
    pub(crate) fn take(&self, principal: &Principal) -> Result<(), Duration> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.began.elapsed() >= self.period {
            *current = Period { began: Instant::now(), used: HashMap::new() };
        }
        let left = self.period.saturating_sub(current.began.elapsed());
        if let Some(used) = current.used.get_mut(principal) {
            let may = *used < self.keys;
            *used = used.saturating_add(u32::from(may));
            return if may { Ok(()) } else { Err(left) };
        }
        if self.keys == 0 {
            return Err(left);
        }
        current.used.insert(principal.clone(), 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_comes_back_with_the_next_period() {
        let minute = Duration::from_secs(60);
        let quota = Quota::new(2, minute);
        let [a, b] = ["a", "b"].map(Principal::named);
        for _ in 0..2 {
            assert_eq!(quota.used_up(&a), None);
            assert_eq!(quota.take(&a), Ok(()));
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(quota.used_up(&a), Some(Duration::from_secs(40)));
        assert_eq!(quota.take(&a), Err(Duration::from_secs(40)));
        assert_eq!(quota.used_up(&b), None);
        assert_eq!(quota.take(&b), Ok(()), "it is each principal's own");
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(quota.used_up(&a), None);
        assert_eq!(quota.take(&a), Ok(()));
    }

    #[tokio::test]
    async fn a_quota_of_none_lets_none_through() {
        let quota = Quota::new(0, Duration::from_secs(60));
        assert!(quota.take(&Principal::anonymous()).is_err());
        assert!(quota.current.lock().unwrap().used.is_empty());
    }
}
