//! The search for an order.

use std::collections::HashSet;
use std::fmt;

use super::contract::{Key, outcomes};
use super::history::{History, Operation};

/// There is no order.
#[derive(Debug)]
pub struct Violation {
    /// What happened, in the order of beginnings.
    operations: Vec<Operation>,
    /// How far the best attempt came: which operations were in order, and what was there then.
    best: (u128, Key),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ordered, key) = self.best;
        writeln!(
            f,
            "no order explains these answers; ordered operations have a mark, after which the key was {key:?}"
        )?;
        for (at, Operation { request, begun, answered }) in self.operations.iter().enumerate() {
            let mark = if ordered & (1 << at) == 0 { ' ' } else { '*' };
            match answered {
                Some((ended, answer)) => {
                    writeln!(f, "{mark} {begun:>9}–{ended:<9} {request:?} → {answer:?}")?;
                }
                None => writeln!(f, "{mark} {begun:>9}–?         {request:?}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// Whether there is an order that explains what happened.
///
/// # Errors
///
/// When there is none, or when the history is longer than [`History::MOST`].
pub fn check(history: &History) -> Result<(), Violation> {
    let mut operations = history.operations.clone();
    operations.sort_by_key(|operation| operation.begun);
    let mut best = (0_u128, Key::Free);
    if operations.len() > History::MOST {
        return Err(Violation { operations, best });
    }
    let mut seen = HashSet::new();
    let mut branches = vec![best];
    while let Some(branch) = branches.pop() {
        if !seen.insert(branch) {
            continue;
        }
        let (ordered, key) = branch;
        if ordered.count_ones() > best.0.count_ones() {
            best = branch;
        }
        let left = || {
            let numbered = operations.iter().enumerate();
            numbered.filter(move |(at, _)| ordered & (1 << at) == 0)
        };
        // Whatever began after this was over comes after it.
        let first_end = left().filter_map(|(_, left)| Some(left.answered?.0)).min();
        let Some(first_end) = first_end else { return Ok(()) };
        for (at, operation) in left().filter(|(_, left)| left.begun <= first_end) {
            for (after, answer) in outcomes(key, operation, history.tolerance) {
                if operation.answered.is_none_or(|(_, heard)| heard == answer) {
                    branches.push((ordered | 1 << at, after));
                }
            }
        }
    }
    Err(Violation { operations, best })
}
