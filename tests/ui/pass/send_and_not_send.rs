//! A body that is `Send` can be spawned; one that is not runs on a local set.

use std::rc::Rc;

use idem_ui::Runs;
use idempotency::{Error, Idempotency, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "sent:{id}")]
async fn sent(id: u64, name: &'static str) -> Result<u32, Error> {
    tokio::task::yield_now().await;
    Ok(id as u32 + name.len() as u32 + RUNS.next())
}

#[idempotent(key = "local:{id}")]
async fn local(id: u64) -> Result<u32, Error> {
    let shared = Rc::new(id as u32);
    tokio::task::yield_now().await;
    Ok(*shared + RUNS.next())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    idempotency::set_global(Idempotency::memory()).unwrap();
    assert_eq!(tokio::spawn(sent(1, "abc")).await.unwrap().unwrap(), 5);
    assert_eq!(tokio::spawn(sent(1, "abc")).await.unwrap().unwrap(), 5);
    let set = tokio::task::LocalSet::new();
    set.run_until(async {
        assert_eq!(tokio::task::spawn_local(local(1)).await.unwrap().unwrap(), 3);
        assert_eq!(tokio::task::spawn_local(local(1)).await.unwrap().unwrap(), 3);
    })
    .await;
    assert_eq!(RUNS.count(), 2);
}
