//! How many executions of a key ran at once.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, What};

/// The largest number of executions that were under way at one moment, by key.
///
/// An end and a beginning at the same nanosecond do not overlap.
pub(super) fn max_concurrent(entries: &[Entry]) -> BTreeMap<String, usize> {
    let ends = Ends::of(entries);
    let mut changes = BTreeMap::<&str, Vec<(u128, isize)>>::new();
    for entry in entries.iter().filter(|entry| entry.what.begins_execution()) {
        let changes = changes.entry(&entry.key).or_default();
        changes.push((entry.at, 1));
        if let Some(end) = ends.end_of(entry) {
            // An execution that takes no time still overlaps what is under way.
            changes.push((end.max(entry.at + 1), -1));
        }
    }
    changes.into_iter().map(|(key, changes)| (key.to_owned(), highest_sum(changes))).collect()
}

fn highest_sum(mut changes: Vec<(u128, isize)>) -> usize {
    changes.sort_unstable();
    let sums = changes.into_iter().scan(0, |sum, (_, change)| {
        *sum += change;
        Some(*sum)
    });
    sums.max().unwrap_or(0).unsigned_abs()
}

/// When runs and processes ended.
struct Ends {
    runs: HashMap<(u32, u64), u128>,
    processes: Vec<(u32, u128)>,
}

impl Ends {
    fn of(entries: &[Entry]) -> Self {
        let mut ends = Self { runs: HashMap::new(), processes: Vec::new() };
        for entry in entries {
            match entry.what {
                What::Start => {}
                What::Once | What::Finish | What::Dropped => {
                    ends.runs.insert((entry.pid, entry.run), entry.at);
                }
                What::ProcessEnded => ends.processes.push((entry.pid, entry.at)),
            }
        }
        ends
    }

    /// When the run that `start` began was over, if it was.
    fn end_of(&self, start: &Entry) -> Option<u128> {
        let finished = self.runs.get(&(start.pid, start.run)).copied();
        // The system gives process ids out again, so only an end after the beginning counts.
        let killed = self.processes.iter().filter(|(pid, at)| *pid == start.pid && *at >= start.at);
        finished.or_else(|| killed.map(|(_, at)| *at).min())
    }
}
