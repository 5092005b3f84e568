//! `codec` by its name, and as an expression.

use idem_ui::{Runs, on_memory};
use idempotency::codec::MsgPack;
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "json:{id}", codec = "json")]
async fn json(id: u64) -> Result<(u64, u32), Error> {
    Ok((id, RUNS.next()))
}

#[idempotent(key = "msgpack:{id}", codec = "msgpack")]
async fn msgpack(id: u64) -> Result<(u64, u32), Error> {
    Ok((id, RUNS.next()))
}

#[idempotent(key = "expression:{id}", codec = MsgPack)]
async fn expression(id: u64) -> Result<(u64, u32), Error> {
    Ok((id, RUNS.next()))
}

#[test]
fn accepted() {
    on_memory(async {
        for _ in 0..2 {
            assert_eq!(json(7).await.unwrap(), (7, 1));
            assert_eq!(msgpack(7).await.unwrap(), (7, 2));
            assert_eq!(expression(7).await.unwrap(), (7, 3));
        }
    });
    assert_eq!(RUNS.count(), 3);
}
