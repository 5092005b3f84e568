//! A function that a macro by example writes.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

macro_rules! operation {
    ($name:ident, $key:literal, $ttl:expr, $arg:ident: $ty:ty, $body:expr) => {
        #[idempotent(key = $key, ttl = $ttl)]
        async fn $name($arg: $ty, hidden: u32) -> Result<u32, Error> {
            let _ = hidden;
            Ok($arg + $body)
        }
    };
}

operation!(place, "order:{id}", "15m", id: u32, RUNS.next());

#[test]
fn accepted() {
    assert_once(&RUNS, || place(7, 1), &8);
}
