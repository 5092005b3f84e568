//! A payments API that charges once, however often it is asked: to be used with curl, as `README.md` beside this file shows.
//!
//! Read [`api::router`] first: that is where the layer is put. `stripe.rs` is the same for clients of Stripe, `auth.rs` tells whose a key is, and
//! `bank.rs` stands for the world outside, where charging twice would be seen.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod api;
mod auth;
mod bank;
mod refusal;
mod stripe;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use idempotency::Idempotency;
use idempotency::http::{IdempotencyLayer, extension};
use idempotency::storage::PostgresStorage;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::Account;
use crate::bank::Bank;

/// Serves a payments API that honours the header `Idempotency-Key`.
#[derive(Parser)]
struct Options {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where records are kept: `sqlite:FILE`, `redis://host/`, `postgres://user@host/database` or `memory:`.
    #[arg(long, value_name = "URL", default_value = "sqlite:payments.db")]
    storage: String,
    /// The bank's own book, one charge in JSON per line: here one sees whether something was charged twice.
    #[arg(long, value_name = "FILE", default_value = "charges.jsonl")]
    bank: PathBuf,
    /// How long the bank takes for a charge.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    bank_takes: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let bank = Bank::open(&options.bank, options.bank_takes)
        .with_context(|| format!("cannot open {}", options.bank.display()))?;
    let idem = connect(&options.storage).await?;
    let layer = IdempotencyLayer::new(idem.clone(), extension::<Account>());
    let requests = layer.tasks();

    let listener = TcpListener::bind(options.listen).await.context("cannot listen")?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, api::router(Arc::new(bank), layer))
        .with_graceful_shutdown(stopped()?)
        .await?;
    // Clients may have gone away; what they asked for is brought to its end.
    requests.drain().await;
    // Responses that the storage would not take are still being written.
    let left = idem.drain_within(Duration::from_secs(20)).await;
    anyhow::ensure!(left == 0, "{left} responses are not recorded");
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Idempotency> {
    if !url.starts_with("postgres") {
        return Ok(Idempotency::connect(url).await?);
    }
    // A service in earnest makes its tables when it is deployed and not when it starts.
    let storage = PostgresStorage::connect(url).await?;
    storage.migrate().await?;
    Ok(Idempotency::new(storage)?)
}

/// Resolves when the program is told to stop, by a person or by the system.
fn stopped() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let [mut interrupted, mut terminated] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
