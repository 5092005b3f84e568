//! Child processes that can be killed, stopped and continued, and that never outlive the tests.
//!
//! Dropping a [`Process`] kills it. That does not help when the test process itself is killed, so a program started through [`command`] also
//! asks the system to be killed with its parent. The system takes "its parent" to be the *thread* that started it, which is why
//! all children are started from one thread that lives as long as the process.

use std::{
    ffi::OsStr,
    io,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::wait;

/// A command that runs `program` and dies with this process, to be given to [`Process::spawn`].
///
/// It goes through `setpriv` of util-linux. Where that is missing (outside Linux) the program is run directly, and a SIGKILL to the tests leaves
/// it running.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    command_ended_by("KILL", program)
}

/// Like [`command`] for a program that another signal ends at once as well, and that tidies up then.
pub(crate) fn command_ended_by(signal: &str, program: impl AsRef<OsStr>) -> Command {
    static HAS_SETPRIV: OnceLock<bool> = OnceLock::new();
    let has_setpriv = *HAS_SETPRIV.get_or_init(|| {
        let probe = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    });
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// Lets a process write to no file beyond so many bytes, or to all again, with `prlimit` of util-linux.
///
/// A write beyond the limit fails for a process that ignores SIGXFSZ; another one is killed by it. Nothing happens to a process that has ended.
///
/// # Panics
///
/// When the program is missing, or this user may not do so.
#[track_caller]
pub fn limit_files(pid: u32, bytes: Option<u64>) {
    limit_files_by(pid, bytes, |_| {});
}

/// The same, by a command that is prepared to be run by the user of that process.
#[track_caller]
pub(crate) fn limit_files_by(pid: u32, bytes: Option<u64>, prepare: impl FnOnce(&mut Command)) {
    let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = Command::new("prlimit");
    // The soft limit alone, which whoever set it may lift again.
    command.args(["--pid", &pid.to_string(), &format!("--fsize={limit}:")]);
    prepare(&mut command);
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("prlimit of util-linux is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_done = output.status.success() || errors.contains("No such process");
    assert!(is_done, "the files of process {pid} cannot be limited: {errors}");
}

/// A command whose program fails to write a file beyond [its limit](limit_files) instead of being killed.
pub fn command_that_survives_its_limits(program: impl AsRef<OsStr>) -> Command {
    let mut command = command("env");
    command.arg("--ignore-signal=XFSZ").arg(program);
    command
}

/// A running child process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Somebody waited for its end, so its id may belong to another process by now.
    reaped: bool,
}

impl Process {
    /// Starts a command, best one made by [`command`].
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(command: Command) -> Self {
        let name = format!("{command:?}");
        match spawn_on_lasting_thread(command) {
            Ok(child) => Self { child, reaped: false },
            Err(error) => panic!("cannot start {name}: {error}"),
        }
    }

    /// Its process id, also after it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if the command piped it and nobody took it before.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if the command piped it and nobody took it before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if the command piped it and nobody took it before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child of this process can be waited for");
        self.reaped |= status.is_some();
        status
    }

    /// Blocks until it has ended.
    ///
    /// # Panics
    ///
    /// When it is still running after `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = None;
        let what = format!("process {} ended", self.pid());
        wait::until(&what, limit, || {
            ended = self.try_wait();
            ended.is_some()
        });
        ended.expect("the wait is over")
    }

    /// Kills it with SIGKILL, stopped or not, and waits until it is gone. Nothing happens if it has ended.
    pub fn kill(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.reaped = true;
    }

    /// Asks it to end with SIGTERM and waits until it has.
    ///
    /// # Panics
    ///
    /// When it is still running after `limit`.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(limit)
    }

    /// Stops it with SIGSTOP; when this returns none of its threads runs.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn pause(&self) {
        let state = self.stop();
        let stopped = matches!(state, Ok(WaitStatus::Stopped(..)));
        assert!(stopped, "process {} ended instead of stopping: {state:?}", self.pid());
    }

    /// Stops it likewise, and says whether that is what it did, rather than end.
    #[track_caller]
    pub(crate) fn stops(&self) -> bool {
        matches!(self.stop(), Ok(WaitStatus::Stopped(..)))
    }

    #[track_caller]
    fn stop(&self) -> nix::Result<WaitStatus> {
        self.signal(Signal::SIGSTOP);
        // How it ended is left to be read by whoever waits for that.
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.nix_pid()), flags)
    }

    /// Continues it with SIGCONT.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(!self.reaped, "process {} has ended and cannot get {signal}", self.pid());
        if let Err(error) = kill(self.nix_pid(), signal) {
            panic!("cannot send {signal} to process {}: {error}", self.pid());
        }
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.pid().try_into().expect("a process id fits"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        let run = move || {
            for (mut command, answer) in queue {
                // Whoever asked waits for the answer, so there is always somebody to take it.
                let _ = answer.send(command.spawn());
            }
        };
        thread::Builder::new()
            .name("testkit-spawner".into())
            .spawn(run)
            .expect("a thread can be started");
        orders
    });
    let (answer, answered) = mpsc::channel();
    spawner.send((command, answer)).expect("the spawner never ends");
    answered.recv().expect("the spawner answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_secs(5);

    #[test]
    fn how_it_ended_can_be_read_though_somebody_wanted_it_to_stop() {
        let mut shell = command("sh");
        shell.args(["-c", "exit 3"]);
        let mut process = Process::spawn(shell);
        // Until it has ended it stops, and goes on.
        wait::until("the shell ended", BRIEF, || {
            let stops = process.stops();
            if stops {
                process.resume();
            }
            !stops
        });
        assert_eq!(process.wait(BRIEF).code(), Some(3));
    }
}
