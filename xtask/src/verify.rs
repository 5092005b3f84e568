//! `cargo xtask verify`.

use std::ffi::OsString;
use std::process::Command;

use crate::root;
use crate::run::cargo;
use crate::servers;

/// Hunts for violations of the guarantees with these arguments, and says whether there are none.
pub(crate) fn run(arguments: &[OsString]) -> bool {
    let mut hunt = cargo("run --release --package idem-verify --");
    let holds = hunt.args(arguments).status().is_ok_and(|status| status.success());
    let long = arguments.iter().any(|argument| argument == "--long");
    if long { in_process() & without_races() & on_real_storages() & holds } else { holds }
}

/// What the tests do in seconds, for as long as there is time: schedules of the parts that live in one process, and bytes for the parsers.
fn in_process() -> bool {
    let tests = "test --release --package idem-schedules --package idem-fuzz -- --nocapture";
    let mut tests = cargo(tests);
    tests.env("IDEM_LONG", "1").status().is_ok_and(|status| status.success())
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
    tests.status().is_ok_and(|status| status.success())
}

/// What the compiler builds for: named, so that build scripts and macros are built as always.
fn host() -> Option<String> {
    let version = Command::new("rustc").arg("-vV").output().ok()?.stdout;
    let version = String::from_utf8(version).ok()?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(ToOwned::to_owned)
}

/// Random histories on real storages, as many as there is time for: against the state machine, and by concurrent clients under faults.
fn on_real_storages() -> bool {
    let mut tests = cargo(
        "test --release --package idem-tests --test it -- --nocapture differential histories",
    );
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
    tests.env("IDEM_LONG", "1").status().is_ok_and(|status| status.success())
}
