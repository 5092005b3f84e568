//! Types and functions that shadow the names of the prelude.

use ::idempotency::{Error, idempotent};
use idem_ui::{Runs, assert_once};

static RUNS: Runs = Runs::new();

#[allow(dead_code)]
struct Result;
#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct String;
#[allow(dead_code)]
struct Box;
#[allow(dead_code, non_snake_case)]
fn Ok() {}
#[allow(dead_code, non_snake_case)]
fn Err() {}
#[allow(dead_code, non_snake_case)]
fn Some() {}
#[allow(dead_code)]
mod core {}
#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
mod idempotency {}
#[allow(dead_code)]
trait Future {}
#[allow(dead_code)]
trait Send {}

#[idempotent(key = "order:{id}:{note}", tenant = id, ttl = "1m", lease = LEASE)]
async fn place(id: u64, (note, _): (u8, u8)) -> ::std::result::Result<u32, Error> {
    let _ = (id, note);
    ::std::result::Result::Ok(RUNS.next())
}

const LEASE: ::std::time::Duration = ::std::time::Duration::from_secs(1);

fn main() {
    assert_once(&RUNS, || place(7, (1, 2)), &1);
}
