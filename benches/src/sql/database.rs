//! What a database tells of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

/// A database that is measured.
pub(crate) trait Database {
    /// How many transactions have written something, from its own counts.
    fn commits(&self, runtime: &Runtime) -> anyhow::Result<u64>;

    /// What the table and its indexes take.
    fn bytes(&self, runtime: &Runtime) -> anyhow::Result<u64>;

    /// The processes of its server; none where it has none.
    fn processes(&self) -> Vec<u32>;

    /// The time that its processes have had on a processor.
    fn cpu(&self) -> Duration {
        let tasks = self.processes().into_iter().flat_map(tasks);
        Duration::from_nanos(tasks.filter_map(|task| nanoseconds_on_processor(&task)).sum())
    }
}

/// The folders in which Linux tells of a process's threads. Elsewhere there are none, and no figures.
fn tasks(process: u32) -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    tasks.into_iter().flatten().flatten().map(|task| task.path())
}

fn nanoseconds_on_processor(task: &Path) -> Option<u64> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}
