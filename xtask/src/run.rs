//! Running a command and counting the tests it reports.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    ops::AddAssign,
    process::{Command, Stdio},
};

use crate::root;

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) tests: Tests,
}

impl Outcome {
    pub(crate) const SUCCESS: Self = Self { success: true, tests: Tests { passed: 0, failed: 0 } };
    pub(crate) const FAILURE: Self = Self { success: false, ..Self::SUCCESS };

    /// Both, one after the other.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.success &= other.success;
        self.tests += other.tests;
        self
    }
}

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl AddAssign for Tests {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// A cargo command in the workspace, its arguments separated by spaces.
///
/// What it builds is used once, and then data for incremental builds is half of the target folder.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace()).current_dir(root());
    if env::var_os(INCREMENTAL).is_none() {
        command.env(INCREMENTAL, "0");
    }
    command
}

const INCREMENTAL: &str = "CARGO_INCREMENTAL";

/// Runs a command, shows what it prints and counts the tests in it.
pub(crate) fn run(command: &mut Command) -> Outcome {
    match try_run(command, &mut io::stdout()) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            Outcome::FAILURE
        }
    }
}

/// Runs a command, shows what it prints and gives that.
pub(crate) fn run_showing(command: &mut Command) -> (Outcome, String) {
    let mut shown = Vec::new();
    let outcome = try_run(command, &mut shown);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    print!("{shown}");
    match outcome {
        Ok(outcome) => (outcome, shown),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            (Outcome::FAILURE, shown)
        }
    }
}

fn try_run(command: &mut Command, shown: &mut impl Write) -> io::Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut tests = Tests::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            shown.write_all(&line)?;
            if let Some(found) = tests_in(&String::from_utf8_lossy(&line)) {
                tests += found;
            }
            line.clear();
        }
    }
    Ok(Outcome { success: child.wait()?.success(), tests })
}

/// The counts in the line that ends a test binary's output.
fn tests_in(line: &str) -> Option<Tests> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count_of = |what: &str| {
        let field = counts.split(';').find_map(|field| field.trim().strip_suffix(what));
        field.and_then(|number| number.trim().parse().ok())
    };
    Some(Tests { passed: count_of("passed")?, failed: count_of("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_from_result_lines_only() {
        let failed =
            "test result: FAILED. 3 passed; 12 failed; 0 ignored; 0 measured; 1 filtered out\n";
        assert_eq!(tests_in(failed), Some(Tests { passed: 3, failed: 12 }));
        let ok = "test result: ok. 44 passed; 0 failed; 0 ignored; finished in 2.19s\n";
        assert_eq!(tests_in(ok), Some(Tests { passed: 44, failed: 0 }));
        assert_eq!(tests_in("test some::test ... ok\n"), None);
        assert_eq!(tests_in("printed by a test: test result: ok. 1 passed; 0 failed\n"), None);
    }

    #[test]
    fn a_command_is_run_and_its_tests_are_counted() {
        let script = "echo 'test result: ok. 2 passed; 0 failed;'; \
                      echo 'test result: FAILED. 1 passed; 1 failed;'; exit 1";
        let mut shown = Vec::new();
        let outcome = try_run(Command::new("sh").args(["-c", script]), &mut shown).unwrap();
        assert_eq!(outcome, Outcome { success: false, tests: Tests { passed: 3, failed: 1 } });
        assert_eq!(String::from_utf8_lossy(&shown).lines().count(), 2);
        assert_eq!(run(&mut Command::new("/no/such/program")), Outcome::FAILURE);
    }
}
