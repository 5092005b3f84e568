//! Transactions that the library begins, ends, and tries again.

mod attempts;
mod broken;
mod errors;
mod isolation;
mod plain;

use std::sync::atomic::{AtomicU32, Ordering};

use idem_runtime::Idempotency;
use idem_runtime::transaction::Tx;

use super::stage::{Db, Failed, deposit};

/// How often a body has begun.
#[derive(Default)]
struct Runs(AtomicU32);

impl Runs {
    /// Which one it is.
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The idempotent call of most bodies.
async fn deposit_once<DB: Db>(
    idem: &Idempotency,
    tx: &mut Tx<DB>,
    key: &str,
) -> Result<i64, Failed> {
    let operation = idem.in_transaction(tx).operation("deposit").key(key);
    operation.run(async |tx| Ok(deposit::<DB>(tx, 100).await?)).await
}
