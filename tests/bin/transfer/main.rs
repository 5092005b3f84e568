//! A process of a bank that makes the transfers of the [`Transferring`] in its only argument, each in a transaction.
//!
//! It makes them in an order of its own, and tells on its standard output what came of them.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "it talks to the tests, and a failed one is their failure"
)]

mod bank;

use std::io::Write;
use std::time::Duration;

use idem_runtime::{Error, Idempotency};
use idem_tests::{Step, Transfer, Transferred, Transferring};
use idempotency::idempotent;
use sqlx::{MySql, Pool, Postgres, Sqlite, Transaction};
use tokio::time::sleep;

use crate::bank::Bank;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let told = std::env::args().nth(1).expect("the transfers are the argument");
    let told: Transferring = serde_json::from_str(&told).expect("the argument says what to do");
    match told.database.split(':').next() {
        Some("postgres") => work::<Postgres>(told).await,
        Some("mysql") => work::<MySql>(told).await,
        _ => work::<Sqlite>(told).await,
    }
}

async fn work<DB: Bank>(mut told: Transferring) {
    let pool = DB::connect(&told.database).await;
    let idem = Idempotency::new(DB::storage(&pool)).expect("the settings make sense");
    fastrand::shuffle(&mut told.transfers);
    for (number, transfer) in told.transfers.iter().enumerate() {
        let stands_still = told.stands_still.and_then(|(step, at)| (at == number).then_some(step));
        let receipt = insist(&pool, &idem, transfer, stands_still).await;
        tell(&Transferred::Done { id: transfer.id.clone(), receipt });
    }
    tell(&Transferred::All);
}

/// Transfers until there is a result: connections are cut, and others are at it as well.
async fn insist<DB: Bank>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    transfer: &Transfer,
    stands_still: Option<Step>,
) -> String {
    loop {
        match attempt(pool, idem, transfer, stands_still).await {
            Ok(receipt) => return receipt,
            Err(Failed::Idempotency(error)) => {
                assert!(error.is_retryable(), "{error:?}");
            }
            Err(Failed::Database(_)) => {}
        }
        sleep(Duration::from_millis(fastrand::u64(1..20))).await;
    }
}

async fn attempt<DB: Bank>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    transfer: &Transfer,
    stands_still: Option<Step>,
) -> Result<String, Failed> {
    let mut tx = DB::begin(pool).await?;
    reached(Step::Begun, stands_still).await;
    let receipt = pay(&mut tx, idem, transfer, stands_still).await?;
    reached(Step::Completed, stands_still).await;
    idem.commit(tx).await?;
    reached(Step::Committed, stands_still).await;
    Ok(receipt)
}

#[idempotent(key = "transfer:{transfer.id}", tx = tx, with = idem, skip(idem, stands_still))]
async fn pay<DB: Bank>(
    tx: &mut Transaction<'_, DB>,
    idem: &Idempotency,
    transfer: &Transfer,
    stands_still: Option<Step>,
) -> Result<String, Failed> {
    reached(Step::Claimed, stands_still).await;
    DB::change(tx, transfer.from, -transfer.cents).await?;
    reached(Step::Debited, stands_still).await;
    DB::change(tx, transfer.to, transfer.cents).await?;
    DB::note(tx, &transfer.id).await?;
    reached(Step::Credited, stands_still).await;
    Ok(uuid::Uuid::new_v4().to_string())
}

/// Stands still where it is to.
async fn reached(step: Step, stands_still: Option<Step>) {
    if stands_still == Some(step) {
        tell(&Transferred::StandsStill);
        std::future::pending::<()>().await;
    }
}

fn tell(told: &Transferred) {
    let line = serde_json::to_string(told).expect("it is JSON");
    let mut out = std::io::stdout().lock();
    // A test that has ended reads no more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Why a transfer has no result yet.
#[derive(Debug)]
enum Failed {
    Database(sqlx::Error),
    Idempotency(Error),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Idempotency(error) => error.fmt(f),
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Idempotency(error)
    }
}
