//! Programs of others that tests use as clients. `cargo xtask test` finds or fetches them and names them to the tests.

use std::path::{Path, PathBuf};

use crate::program::{fetched, find, named_by};

/// curl.
///
/// # Panics
///
/// When there is none.
#[track_caller]
pub fn curl() -> PathBuf {
    client("IDEM_TEST_CURL", "curl")
}

/// The load generator wrk.
///
/// # Panics
///
/// When there is none.
#[track_caller]
pub fn wrk() -> PathBuf {
    client("IDEM_TEST_WRK", "wrk")
}

/// A Python that has the packages of `examples/payments/tests/requirements.txt`.
///
/// # Panics
///
/// When there is none.
#[track_caller]
pub fn python() -> PathBuf {
    let python = named_by("IDEM_TEST_PYTHON").or_else(|| fetched("python/python3"));
    python.unwrap_or_else(|| missing("python3 with packages"))
}

#[track_caller]
fn client(variable: &str, name: &str) -> PathBuf {
    let fetched = || fetched(&format!("{name}/{name}"));
    let client = named_by(variable).or_else(|| find(Path::new(name))).or_else(fetched);
    client.unwrap_or_else(|| missing(name))
}

#[track_caller]
fn missing(name: &str) -> ! {
    panic!("there is no {name}: `cargo xtask test --only servers` fetches it")
}
