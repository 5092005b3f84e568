//! `cargo xtask verify`.

use std::ffi::OsString;

use crate::run::cargo;
use crate::servers;

/// Hunts for violations of the guarantees with these arguments, and says whether there are none.
pub(crate) fn run(arguments: &[OsString]) -> bool {
    let mut hunt = cargo("run --release --package idem-verify --");
    let holds = hunt.args(arguments).status().is_ok_and(|status| status.success());
    let long = arguments.iter().any(|argument| argument == "--long");
    if long { in_process() & on_real_storages() & holds } else { holds }
}

/// What the tests do in seconds, for as long as there is time: schedules of the parts that live in one process, and bytes for the parsers.
fn in_process() -> bool {
    let tests = "test --release --package idem-schedules --package idem-fuzz -- --nocapture";
    let mut tests = cargo(tests);
    tests.env("IDEM_LONG", "1").status().is_ok_and(|status| status.success())
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
