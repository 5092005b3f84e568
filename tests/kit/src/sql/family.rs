//! The processes that a server started: Postgres has one for each connection, and they outlive their parent by a moment.

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait;

/// Processes go at once; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process as Linux tells of it. Elsewhere there are none, which tests of what a crash leaves behind can live with.
struct Entry {
    pid: i32,
    state: char,
    parent: i32,
}

/// The children of a process that have not ended.
pub(super) fn children(parent: u32) -> Vec<i32> {
    let parent = i32::try_from(parent).expect("a process id fits");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let entries = pids.filter_map(entry_of);
    let living = entries.filter(|entry| entry.parent == parent && entry.state != 'Z');
    living.map(|entry| entry.pid).collect()
}

/// Kills processes, and waits until they are gone.
#[track_caller]
pub(super) fn kill_all(pids: &[i32]) {
    send(pids, Signal::SIGKILL);
    wait::until("the processes of a server are gone", PATIENCE, || {
        pids.iter().all(|&pid| entry_of(pid).is_none_or(|entry| entry.state == 'Z'))
    });
}

/// Stops processes, and waits until none of them runs.
#[track_caller]
pub(super) fn stop_all(pids: &[i32]) {
    send(pids, Signal::SIGSTOP);
    wait::until("the processes of a server are stopped", PATIENCE, || {
        pids.iter().all(|&pid| entry_of(pid).is_none_or(|entry| matches!(entry.state, 'T' | 'Z')))
    });
}

/// Continues processes.
pub(super) fn continue_all(pids: &[i32]) {
    send(pids, Signal::SIGCONT);
}

fn send(pids: &[i32], signal: Signal) {
    for &pid in pids {
        // It fails only for one that has ended.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn entry_of(pid: i32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may contain any character.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Entry { pid, state, parent })
}
