//! Money that is transferred exactly once: the record, the two accounts and the result are one commit.
//!
//! ```text
//! cargo run --example transfer --features sqlite,postgres
//! cargo run --example transfer --features sqlite,postgres -- --storage sqlite:bank.db
//! cargo run --example transfer --features sqlite,postgres -- --storage postgres://postgres@localhost/bank
//! ```
//!
//! Read [`transfer`] first: it is all that a service writes. `bank.rs` has the accounts, in the words of each database.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells a story")]

mod bank;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use clap::Parser;
use idempotency::sqlx::{self, Pool, Postgres, Sqlite, Transaction};
use idempotency::{ErrorKind, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

use self::bank::Bank;

/// Money that is transferred exactly once.
#[derive(Parser)]
struct Options {
    /// The database: `sqlite:FILE` or `postgres://user@host/database`. Without one it is a file that is removed at the end.
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// Makes this one transfer and dies at this point: what the story does to processes of its own.
    #[arg(long, hide = true, num_args = 2)]
    die: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Order {
    id: String,
    from: String,
    to: String,
    cents: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    left: i64,
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error("{0} has not enough money")]
    NotEnough(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

/// Where a process of the story dies.
#[derive(Clone, Copy, PartialEq)]
enum Death {
    HalfWay,
    BeforeTheCommit,
    AfterTheCommit,
}

/// What is done once. The record is claimed before, and completed after, in the transaction that does it.
#[idempotent(key = "transfer:{order.id}", tx = tx, with = idem, skip(idem, death))]
async fn transfer<DB: Bank>(
    tx: &mut Transaction<'_, DB>,
    idem: &Idempotency,
    order: &Order,
    death: Option<Death>,
) -> Result<Receipt, TransferError> {
    let left = DB::change(tx, &order.from, -order.cents).await?;
    if left < 0 {
        return Err(TransferError::NotEnough(order.from.clone()));
    }
    die_at(Death::HalfWay, death);
    DB::change(tx, &order.to, order.cents).await?;
    Ok(Receipt { left })
}

/// What a service does with it: an error rolls back what was done and stays the error, and a commit tells the truth about
/// itself.
async fn pay<DB: Bank>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    order: &Order,
    death: Option<Death>,
) -> Result<Receipt, TransferError> {
    loop {
        let mut tx = DB::begin(pool).await?;
        let paid = transfer(&mut tx, idem, order, death).await;
        die_at(Death::BeforeTheCommit, death);
        let ended = match paid {
            Ok(receipt) => idem.commit(tx).await.map(|()| receipt).map_err(Into::into),
            Err(error) => {
                idem.rollback(tx).await;
                Err(error)
            }
        };
        die_at(Death::AfterTheCommit, death);
        match ended {
            // Somebody else is at it, or the database decided for others: the same call again.
            Err(TransferError::Idempotency(error)) if error.is_retryable() => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            ended => return ended,
        }
    }
}

fn die_at(point: Death, death: Option<Death>) {
    if death == Some(point) {
        std::process::abort();
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let Err(error) = run(options).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn run(options: Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = || format!("sqlite:{}", folder.path().join("bank.db").display());
    let url = options.storage.unwrap_or_else(file);
    match url.split(':').next() {
        Some("postgres" | "postgresql") => story::<Postgres>(&url, options.die).await,
        Some("sqlite") => story::<Sqlite>(&url, options.die).await,
        _ => anyhow::bail!("the storage is `sqlite:FILE` or `postgres://user@host/database`"),
    }
}

async fn story<DB: Bank>(url: &str, die: Option<Vec<String>>) -> anyhow::Result<()> {
    let pool = DB::open(url).await.context("the bank's database cannot be used")?;
    let idem = Idempotency::new(DB::records(&pool).await?)?;
    if let Some(die) = die {
        return die_in(&pool, &idem, &die).await;
    }
    // Names of this run's own, so that a database may be used again.
    let run = format!("{:06x}", fastrand::u32(..1 << 24));
    let order = |number: u32, cents| Order {
        id: format!("{run}-{number}"),
        from: format!("alice-{run}"),
        to: format!("bob-{run}"),
        cents,
    };
    DB::credit(&pool, &order(0, 0).from, 10_000).await?;
    DB::credit(&pool, &order(0, 0).to, 0).await?;
    let show = async || {
        let (alice, bob) = (
            DB::balance(&pool, &order(0, 0).from).await?,
            DB::balance(&pool, &order(0, 0).to).await?,
        );
        println!(
            "    alice has {}.{:02}, bob has {}.{:02}",
            alice / 100,
            alice % 100,
            bob / 100,
            bob % 100
        );
        ensure!(alice + bob == 10_000, "money was made or lost");
        anyhow::Ok(bob)
    };

    title(1, "Once. The same transfer is made three times, as by a client that gets no answer.");
    for _ in 0..3 {
        let receipt = pay(&pool, &idem, &order(1, 1_000), None).await?;
        ensure!(receipt == Receipt { left: 9_000 }, "another receipt");
    }
    ensure!(show().await? == 1_000, "not once");

    title(
        2,
        "Rolled back. Alice has not enough, and half of the transfer has been made when that shows.",
    );
    let refused = pay(&pool, &idem, &order(2, 50_000), None).await;
    ensure!(matches!(refused, Err(TransferError::NotEnough(_))), "it was not refused");
    println!("    refused, and nothing is left of it: neither money nor a record");
    show().await?;

    title(3, "Another amount with the number of a transfer that was made is a mistake.");
    match pay(&pool, &idem, &order(1, 9_900), None).await {
        Err(TransferError::Idempotency(error)) if error.kind() == ErrorKind::Mismatch => {
            println!("    {error}");
        }
        other => anyhow::bail!("{other:?} instead of a mismatch"),
    }

    title(
        4,
        "Processes die: half way, before their commit, and after it. Then somebody tries again.",
    );
    for (number, death) in [(4, "half-way"), (5, "before-the-commit"), (6, "after-the-commit")] {
        let died = Command::new(std::env::current_exe()?)
            .args(["--storage", url, "--die", &order(number, 500).id, death])
            .output()?;
        ensure!(!died.status.success(), "it lived");
        let before = DB::balance(&pool, &order(0, 0).to).await?;
        pay(&pool, &idem, &order(number, 500), None).await?;
        let after = DB::balance(&pool, &order(0, 0).to).await?;
        let what = if before == after { "replayed" } else { "made" };
        println!("    died {}: the next call {what} it", death.replace('-', " "));
    }
    ensure!(show().await? == 2_500, "not once");

    title(5, "Crowded. Sixteen workers all make the same twenty transfers of 1.00.");
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (pool, idem) = (pool.clone(), idem.clone());
            let orders: Vec<_> = (100..120).map(|number| order(number, 100)).collect();
            tokio::spawn(async move {
                for order in &orders {
                    pay(&pool, &idem, order, None).await?;
                }
                Ok::<_, TransferError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    ensure!(show().await? == 4_500, "not once");
    println!("\nDone. docs/exactly-once.md explains the guarantee and its limits.");
    Ok(())
}

/// Makes a transfer of the story's and dies.
async fn die_in<DB: Bank>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    die: &[String],
) -> anyhow::Result<()> {
    let [id, death] = die else { anyhow::bail!("which transfer, and where?") };
    let run = id.split('-').next().unwrap_or_default();
    let order = Order {
        id: id.clone(),
        from: format!("alice-{run}"),
        to: format!("bob-{run}"),
        cents: 500,
    };
    let death = match &**death {
        "half-way" => Death::HalfWay,
        "before-the-commit" => Death::BeforeTheCommit,
        _ => Death::AfterTheCommit,
    };
    pay(pool, idem, &order, Some(death)).await?;
    Ok(())
}

fn title(number: u32, text: &str) {
    println!("\n{number}. {text}");
}
