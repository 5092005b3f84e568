//! Six things that happen to every payment service, and what `#[idempotent]` makes of them.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- --storage redis://127.0.0.1/
//! cargo run --example quickstart --features sqlite -- --storage sqlite:quickstart.db
//! ```
//!
//! A storage that outlives the program adds a seventh: run it again, and what the first run did is replayed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells a story")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use idempotency::testing::{Fault, FaultyStorage, Verb};
use idempotency::{Idempotency, idempotent};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

#[derive(Clone, Serialize)]
struct Payment {
    order: String,
    card: &'static str,
    cents: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    number: u32,
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum PaymentError {
    #[error("the card {card} was declined")]
    Declined { card: String },
    #[error(transparent)]
    #[serde(skip)]
    Idempotency(#[from] idempotency::Error),
}

/// How often the bank was asked for money: the effect that must not happen twice.
static CHARGES: AtomicU32 = AtomicU32::new(0);

/// The key is made of the order. The other arguments are fingerprinted, so that the same order with another amount is noticed.
#[idempotent(key = "payment:{payment.order}", ttl = "15m", wait = "5s", on_error = "replay")]
async fn charge(payment: Payment) -> Result<Receipt, PaymentError> {
    let number = CHARGES.fetch_add(1, Ordering::SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(50)).await;
    match payment.card {
        "4000-0002" => Err(PaymentError::Declined { card: payment.card.to_owned() }),
        _ => Ok(Receipt { number }),
    }
}

/// Whoever is silent for longer than the lease is taken for dead, and a waiting duplicate takes over.
#[idempotent(key = "parcel:{order}", ttl = "15m", lease = "500ms", wait = "5s", skip(doomed))]
async fn ship(order: &str, doomed: Option<&Notify>) -> Result<String, idempotency::Error> {
    let call = idempotency::current().map_or(0, |call| call.fence().get());
    say(&format!("packing, as owner number {call} of this key"));
    if let Some(packing) = doomed {
        packing.notify_one();
        std::future::pending::<()>().await;
    }
    Ok(format!("shipped by owner number {call}"))
}

/// Six things that happen to every payment service, and what the library makes of them.
#[derive(Parser)]
struct Options {
    /// Where records are kept: `memory:`, `redis://host/`, or `sqlite:FILE` with the feature `sqlite`.
    #[arg(long, value_name = "URL", default_value = "memory:")]
    storage: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = tell(&Options::parse()).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn tell(options: &Options) -> anyhow::Result<()> {
    let idem = Idempotency::connect_builder(&options.storage)
        .await
        .context("the storage is not usable")?
        .namespace("quickstart")
        .on_takeover(|_| say("the first owner's lease is over: taking over"))
        .build()?;
    idempotency::set_global(idem.clone())?;

    // A fresh name for everything, so that a second run does not replay the first.
    let run = format!("{:06x}", fastrand::u32(..1 << 24));
    let payment = Payment { order: format!("{run}-1"), card: "4000-0001", cents: 1999 };

    title(1, "Executed. A customer pays 19.99, and the first call runs the function.");
    say(&format!("receipt {}", charge(payment.clone()).await?.number));
    charges(1);

    title(
        2,
        "Replayed. The answer was lost on the way, so the client calls again with the same order.",
    );
    say(&format!("receipt {}, as before", charge(payment.clone()).await?.number));
    charges(1);

    title(
        3,
        "Concurrent duplicates. An impatient customer: one hundred calls for one order, all at once.",
    );
    same_order_at_once(Payment { order: format!("{run}-2"), ..payment.clone() }).await?;
    charges(2);

    title(4, "A failure replayed. A declined card stays declined; the bank is not asked again.");
    let declined = Payment { order: format!("{run}-3"), card: "4000-0002", ..payment.clone() };
    refused("first call", charge(declined.clone()).await);
    refused("second call", charge(declined).await);
    charges(3);

    title(
        5,
        "A mismatch refused. The first order again, but for 99.99: that is a mistake, not a retry.",
    );
    refused("answer", charge(Payment { cents: 9999, ..payment }).await);
    charges(3);

    title(
        6,
        "A crash taken over. A worker dies while it packs a parcel. Its lease of 500 ms runs out.",
    );
    let order = format!("{run}-4");
    die_while_shipping(&idem, &order).await?;
    say("the power is gone; another worker gets the same order");
    say(&ship(&order, None).await?);

    if !options.storage.ends_with("memory:") {
        title(7, "A restart survived. The rent is due once, however often this program is run.");
        survive_a_restart(&run).await?;
    }
    println!(
        "\nThat is all. In `cargo run --example worker -- --storage redis://…` real processes are killed."
    );
    Ok(())
}

/// One hundred duplicates: one runs, the others wait for its receipt.
async fn same_order_at_once(payment: Payment) -> anyhow::Result<()> {
    let calls: JoinSet<_> = (0..100).map(|_| charge(payment.clone())).collect();
    let receipts = calls.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let same = receipts.iter().all(|receipt| *receipt == receipts[0]);
    anyhow::ensure!(same, "duplicates got different receipts");
    say(&format!("{} answers, all of them receipt {}", receipts.len(), receipts[0].number));
    Ok(())
}

/// Plays a machine that loses its power: nothing more of it reaches the storage, neither a heartbeat nor the release of the key.
async fn die_while_shipping(idem: &Idempotency, order: &str) -> anyhow::Result<()> {
    // A handle of its own is as good as another process: only the storage is shared.
    let storage = FaultyStorage::new(idem.storage().clone());
    let faults = storage.faults().clone();
    let other = Idempotency::builder(storage).namespace(idem.namespace()).build()?;
    let packing = Notify::new();
    let power_cut = async {
        packing.notified().await;
        for verb in Verb::ALL {
            faults.always(verb, Fault::LoseRequest);
        }
    };
    tokio::select! {
        shipped = idempotency::with(other, ship(order, Some(&packing))) => {
            anyhow::bail!("the worker outlived its power: {shipped:?}")
        }
        () = power_cut => Ok(()),
    }
}

/// The one call here whose key is the same in each run of this program.
#[idempotent(key = "rent:{month}", ttl = "15m", skip(run))]
async fn pay_rent(month: &str, run: &str) -> Result<String, idempotency::Error> {
    Ok(run.to_owned())
}

async fn survive_a_restart(run: &str) -> anyhow::Result<()> {
    say(&format!("this is run {run}"));
    let payer = pay_rent("November", run).await?;
    if payer == run {
        say(&format!("paid by run {payer}; start the program again"));
    } else {
        say(&format!("paid by run {payer}, which is over: replayed, not paid again"));
    }
    Ok(())
}

fn title(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn say(text: &str) {
    println!("   → {text}");
}

fn refused(call: &str, answer: Result<Receipt, PaymentError>) {
    match answer {
        Ok(receipt) => say(&format!("{call}: receipt {}", receipt.number)),
        Err(error) => say(&format!("{call}: {error}")),
    }
}

/// Says how often the bank was asked, and stops the story if it is not as told.
fn charges(expected: u32) {
    let charges = CHARGES.load(Ordering::SeqCst);
    assert_eq!(charges, expected, "the bank was asked too often");
    println!(
        "     The bank was asked {charges} {} so far.",
        if charges == 1 { "time" } else { "times" }
    );
}
