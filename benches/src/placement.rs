//! Client and server on different processors.
//!
//! A lone caller waits for the server and the server for it. While the system keeps both on one processor a command takes 25 µs, and 55 µs
//! while it has them on two, where each has to be woken from idling; it changes its mind every few seconds. Figures from different moods
//! cannot be compared, so for a lone caller the mood is set: client and server are apart, as they are in earnest. Where the system has no
//! second processor, or does not let us choose, everything stays as it is.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Holds this process and those of a server on processors of their own until it is dropped.
pub(crate) struct Apart {
    before: CpuSet,
    server: Vec<u32>,
}

impl Apart {
    /// `None` where that is not to be had.
    pub(crate) fn keep(server: Vec<u32>) -> Option<Self> {
        let before = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut allowed = (0..CpuSet::count()).filter(|&cpu| before.is_set(cpu).unwrap_or(false));
        let (ours, theirs) = (only(allowed.next()?)?, only(allowed.next()?)?);
        let apart = Self { before, server };
        let mut placed = apart.server.iter().map(|&process| place(process, &theirs));
        (place(std::process::id(), &ours) && placed.all(|placed| placed)).then_some(apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        place(std::process::id(), &self.before);
        for &process in &self.server {
            place(process, &self.before);
        }
    }
}

fn only(cpu: usize) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu).ok()?;
    Some(set)
}

/// Lets the threads of a process run there and nowhere else; says whether they do.
fn place(process: u32, cpus: &CpuSet) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
    let mut placed = threads.map(|thread| sched_setaffinity(Pid::from_raw(thread), cpus).is_ok());
    placed.all(|placed| placed)
}
