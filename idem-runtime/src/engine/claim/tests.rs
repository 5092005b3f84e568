//! How often a waiter looks.

use std::collections::HashSet;
use std::time::Duration;

use super::{Waking, polls};

/// A waiter that looked all the time, or all of them together, would be the storage's ruin.
#[test]
fn a_waiter_looks_ever_more_rarely_and_not_when_the_others_do() {
    for (waking, first, most) in [(Waking::Polls, 10, 500), (Waking::Wakeups, 50, 1_000)] {
        let longest = std::iter::successors(Some(first), |longest| Some(most.min(longest * 2)));
        let mut seen = HashSet::new();
        for _ in 0..50 {
            let pauses: Vec<Duration> = polls(waking).take(12).collect();
            assert_eq!(pauses.len(), 12, "it goes on for as long as it has to");
            for (pause, longest) in pauses.iter().zip(longest.clone()) {
                let longest = Duration::from_millis(longest);
                assert!((longest / 2..=longest).contains(pause), "{pause:?} of {longest:?}");
            }
            seen.insert(pauses);
        }
        assert!(seen.len() > 40, "waiters look at the same times");
    }
}
