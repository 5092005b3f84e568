//! Running the checker.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::{Bug, Limits, Row, Worlds};

/// What was found in the worlds within some limits.
#[derive(Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Whether those are all that there are.
    pub whole: bool,
    /// Rows of the transition table that were not met.
    pub missing: Vec<Row>,
    /// A guarantee that was broken, and the shortest way there that was found.
    pub broken: Option<(&'static str, String)>,
    /// How long it took.
    pub took: Duration,
}

/// Explores every state within `limits`, or until a guarantee is broken.
pub fn explore(limits: Limits, bug: Option<Bug>) -> Explored {
    explore_some(usize::MAX, limits, bug)
}

/// Explores the nearest states within `limits`, until about `steps` ways from one to another were taken.
pub fn explore_some(steps: usize, limits: Limits, bug: Option<Bug>) -> Explored {
    let begun = Instant::now();
    let worlds = Worlds::new(limits, bug);
    let reached = worlds.reached();
    let threads = available_parallelism().map_or(1, usize::from);
    let builder = worlds.checker().threads(threads).finish_when(HasDiscoveries::Any);
    let checker = builder.target_state_count(steps).spawn_bfs().join();
    let mut broken: Vec<_> = checker.discoveries().into_iter().collect();
    broken.sort_by_key(|(guarantee, _)| *guarantee);
    Explored {
        states: checker.unique_state_count(),
        whole: broken.is_empty() && checker.state_count() < steps,
        missing: reached.missing(),
        broken: broken.pop().map(|(guarantee, path)| {
            let steps = path.into_actions().into_iter().map(|step| format!("{step:?}\n"));
            (guarantee, steps.collect())
        }),
        took: begun.elapsed(),
    }
}
