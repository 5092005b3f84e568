//! Arguments with names that an expansion might use.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "names:{key}:{storage}:{result}:{__idem}:{operation}")]
#[allow(clippy::too_many_arguments)]
async fn place(
    key: u32,
    storage: u32,
    result: u32,
    __idem: u32,
    __idem_key: u32,
    __idem_fingerprint: u32,
    __idem_operation: u32,
    __idem_arguments: u32,
    operation: u32,
    body: u32,
    (__idem_arg_0, __idem_arg_10): (u32, u32),
) -> Result<u32, Error> {
    let sum = key + storage + result + __idem + __idem_key + __idem_fingerprint + __idem_operation;
    Ok(sum + __idem_arguments + operation + body + __idem_arg_0 + __idem_arg_10 + RUNS.next())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, (1, 1)), &13);
}
