//! `cargo xtask verify`.

use std::process::Command;

use crate::root;
use crate::run::cargo;
use crate::servers;

/// Something that hunts for violations of the guarantees.
struct Hunt {
    name: &'static str,
    /// Whether it also hunts when nobody says which, and not at length.
    in_short: bool,
    /// Says whether there are none.
    run: fn(long: bool) -> bool,
}

const HUNTS: [Hunt; 7] = [
    Hunt { name: "model", in_short: true, run: |long| in_worlds("--only=model", long) },
    Hunt { name: "simulation", in_short: true, run: |long| in_worlds("--only=simulation", long) },
    Hunt { name: "schedules", in_short: false, run: |long| in_process("idem-schedules", long) },
    Hunt { name: "fuzzing", in_short: false, run: |long| in_process("idem-fuzz", long) },
    Hunt { name: "races", in_short: false, run: |_| without_races() },
    Hunt { name: "differential", in_short: false, run: |long| on_storages("differential::", long) },
    Hunt { name: "histories", in_short: false, run: |long| on_storages("histories::", long) },
];

/// The names of all of them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    HUNTS.iter().map(|hunt| hunt.name)
}

/// Hunts, at length or not, with those that are named; says whether nothing was found.
pub(crate) fn run(long: bool, only: &[String]) -> bool {
    let is_meant = |hunt: &&Hunt| match only {
        [] => long || hunt.in_short,
        only => only.iter().any(|name| name == hunt.name),
    };
    HUNTS.iter().filter(is_meant).fold(true, |holds, hunt| (hunt.run)(long) & holds)
}

/// Tells the story of a seed of the simulation.
pub(crate) fn tell(seed: &str) -> bool {
    in_worlds(&format!("--seed={seed}"), false)
}

fn in_worlds(what: &str, long: bool) -> bool {
    let mut hunt = cargo("run --release --package idem-verify --");
    hunt.arg(what).args(long.then_some("--long"));
    succeeds(&mut hunt)
}

/// What the tests do in seconds, for as long as there is time: schedules of the parts that live in one process, and bytes for the parsers.
fn in_process(package: &str, long: bool) -> bool {
    let tests = format!("test --release --package {package} -- --nocapture");
    succeeds(at_length(&mut cargo(&tests), long))
}

/// Tells tests to try as much as there is time for.
fn at_length(tests: &mut Command, long: bool) -> &mut Command {
    if long { tests.env("IDEM_LONG", "1") } else { tests }
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// The tests of several threads in one process, under `ThreadSanitizer`. It needs flags that a stable compiler has only when it is told so; the
/// standard library is the one that comes with that, and is not watched.
fn without_races() -> bool {
    let tests = "test --package idem-runtime --features testing,json,msgpack --target-dir target/tsan \
                 --lib --test threads --test engine_regressions --test leases";
    let Some(target) = host() else { return false };
    let mut tests = cargo(tests);
    tests.args(["--target", &target]).env("RUSTC_BOOTSTRAP", "1");
    tests.env("RUSTFLAGS", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer");
    let suppressions = root().join(".cargo/tsan-suppressions.txt");
    tests.env("TSAN_OPTIONS", format!("suppressions={}", suppressions.display()));
    succeeds(&mut tests)
}

/// What the compiler builds for: named, so that build scripts and macros are built as always.
fn host() -> Option<String> {
    let version = Command::new("rustc").arg("-vV").output().ok()?.stdout;
    let version = String::from_utf8(version).ok()?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(ToOwned::to_owned)
}

/// Random histories on real storages, as many as there is time for: against the state machine, or by concurrent clients under faults.
fn on_storages(tests: &str, long: bool) -> bool {
    let mut tests =
        cargo(&format!("test --release --package idem-tests --test it -- --nocapture {tests}"));
    for find in [servers::redis, servers::postgres, servers::mysql] {
        match find() {
            Ok(server) => {
                server.name_to(&mut tests);
            }
            Err(reason) => {
                eprintln!("{reason}");
                return false;
            }
        }
    }
    succeeds(at_length(&mut tests, long))
}
