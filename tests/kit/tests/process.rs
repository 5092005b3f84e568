//! Children are stopped, continued and killed, and die with their parent.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

use testkit::{
    process::{Process, command, command_that_survives_its_limits, limit_files},
    wait,
};

const LIMIT: Duration = Duration::from_secs(10);

fn sleeper() -> Process {
    let mut sleeper = command("sleep");
    sleeper.arg("600");
    Process::spawn(sleeper)
}

/// The state letter of a process as the system shows it, `None` when there is no such process.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn dropping_kills() {
    let process = sleeper();
    let pid = process.pid();
    assert!(state_of(pid).is_some());
    drop(process);
    assert_eq!(state_of(pid), None);
}

#[test]
fn a_paused_process_does_not_run_until_it_is_resumed() {
    let process = sleeper();
    process.pause();
    assert_eq!(state_of(process.pid()), Some('T'));
    process.resume();
    wait::until("it runs again", LIMIT, || state_of(process.pid()) == Some('S'));
}

#[test]
fn a_paused_process_can_be_killed() {
    let mut process = sleeper();
    process.pause();
    process.kill();
    assert_eq!(state_of(process.pid()), None);
}

#[test]
fn a_process_cannot_write_beyond_its_limit_until_that_is_lifted() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut shell = command_that_survives_its_limits("sh");
    // A line for each byte that it was asked to write: whether it could.
    shell.args([
        "-c",
        "while read -r byte; do printf %s \"$byte\" >>written && echo yes || echo no; done",
    ]);
    shell.current_dir(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::spawn(shell);
    let mut input = process.take_stdin().unwrap();
    let mut output = BufReader::new(process.take_stdout().unwrap()).lines();
    let mut can_write = || {
        input.write_all(b"x\n").unwrap();
        output.next().unwrap().unwrap()
    };
    assert_eq!(can_write(), "yes");
    limit_files(process.pid(), Some(2));
    assert_eq!([can_write(), can_write()], ["yes", "no"]);
    limit_files(process.pid(), None);
    assert_eq!(can_write(), "yes");
    assert_eq!(fs::read_to_string(dir.path().join("written")).unwrap(), "xxx");
}

#[test]
fn a_process_is_asked_to_end() {
    let mut process = sleeper();
    assert_eq!(process.try_wait(), None);
    assert!(!process.terminate(LIMIT).success());
    assert!(process.try_wait().is_some());
}

#[test]
#[should_panic(expected = "has ended and cannot get SIGCONT")]
fn a_process_that_has_ended_gets_no_signal() {
    let mut process = sleeper();
    process.kill();
    process.resume();
}

#[test]
#[should_panic(expected = "waited 20ms in vain until process")]
fn waiting_has_a_limit() {
    sleeper().wait(Duration::from_millis(20));
}

fn assert_dies_with_its_starter(server: &str) {
    let mut starter = command(env!("CARGO_BIN_EXE_testkit"));
    starter.arg(server).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut starter = Process::spawn(starter);
    let mut line = String::new();
    BufReader::new(starter.take_stdout().unwrap()).read_line(&mut line).unwrap();
    let (_, pid) = line.trim().split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(state_of(pid).is_some());

    starter.kill();
    // Whoever inherits orphans here may take its time to collect it.
    wait::until("the server is gone", LIMIT, || matches!(state_of(pid), None | Some('Z')));
}

#[test]
fn a_redis_server_dies_with_the_process_that_started_it() {
    assert_dies_with_its_starter("redis");
}

#[test]
fn a_postgres_server_dies_with_the_process_that_started_it() {
    assert_dies_with_its_starter("postgres");
}

#[test]
fn a_mysql_server_dies_with_the_process_that_started_it() {
    assert_dies_with_its_starter("mysql");
}
