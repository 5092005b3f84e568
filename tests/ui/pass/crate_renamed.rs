//! The facade under another name.

use ::idempotency::idempotent;
use idem_ui::{Runs, assert_once};

static RUNS: Runs = Runs::new();

mod vendored {
    pub use idempotency as once;
}

#[idempotent(key = "order:{id}", crate = crate::vendored::once)]
async fn place(id: u64) -> Result<u32, vendored::once::Error> {
    let _ = id;
    Ok(RUNS.next())
}

// Nothing of the expansion may find the facade under its own name.
#[allow(unused_imports)]
use vendored as idempotency;

fn main() {
    assert_once(&RUNS, || place(7), &1);
}
