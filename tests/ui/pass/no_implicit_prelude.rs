//! A module without the prelude.

use idem_ui::{Runs, assert_once};

static RUNS: Runs = Runs::new();

mod bare {
    #![no_implicit_prelude]

    use ::idempotency::idempotent;

    #[idempotent(key = "order:{id}", wait = "1s", on_crash = "park", retry_if = |_| false)]
    pub async fn place(id: u64) -> ::std::result::Result<u32, ::idempotency::Error> {
        let _ = id;
        ::std::result::Result::Ok(super::RUNS.next())
    }

    #[idempotent]
    pub async fn unkeyed((id, _): (u64, u8)) -> ::std::result::Result<u32, ::idempotency::Error> {
        let _ = id;
        ::std::result::Result::Ok(1)
    }
}

use bare::{place, unkeyed};

fn main() {
    assert_once(&RUNS, || place(7), &1);
    idem_ui::on_memory(async { assert_eq!(unkeyed((7, 0)).await.unwrap(), 1) });
}
