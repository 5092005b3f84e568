//! An order and its events, which are published if and only if the order commits, and handled once.
//!
//! ```text
//! cargo run --example outbox_relay --features outbox,sqlite
//! cargo run --example outbox_relay --features outbox,sqlite -- --redis redis://127.0.0.1/
//! ```
//!
//! Three parts, as in three services: `shop.rs` changes its database and enqueues events, the relay
//! publishes them to `broker.rs`, and `warehouse.rs` handles them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells a story")]

mod broker;
mod shop;
mod warehouse;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use idempotency::outbox::{Event, PublishError, Publisher, Relay};
use idempotency::sqlx::Sqlite;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::broker::Broker;
use self::shop::Shop;
use self::warehouse::Warehouse;

/// Events that are published if and only if their transaction commits, and handled once.
#[derive(Parser)]
struct Options {
    /// The `SQLite` file with the shop's orders and its outbox; by default a temporary file.
    #[arg(long, value_name = "FILE")]
    storage: Option<PathBuf>,
    /// A Redis server whose streams get the events, such as `redis://127.0.0.1/`; by default they
    /// stay in this process.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = tell(&Options::parse()).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn tell(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = options.storage.clone().unwrap_or_else(|| folder.path().join("shop.db"));
    let shop = Shop::open(&file).await.context("the shop's database cannot be used")?;
    let broker = Arc::new(Broker::connect(options.redis.as_deref()).await?);
    let warehouse = Warehouse::open(shop.pool()).await?;

    title(1, "If and only if. Three orders are placed; one of them fails and is rolled back.");
    let (apples, pears) = (shop.place("apples").await?, shop.place("pears").await?);
    shop.place_and_fail("plums").await?;
    say(&format!("in the outbox: {} events", shop.waiting().await?));

    title(2, "Published. A relay publishes the committed events.");
    publish_all(&shop, shop.relay(Arc::clone(&broker))).await?;
    warehouse.work(&broker).await?;
    warehouse.has_packed(&apples, 1)?;
    warehouse.has_packed(&pears, 1)?;

    title(3, "A relay crashes right after publishing, before it updates the database.");
    let figs = shop.place("figs").await?;
    die_after_publishing(&shop, &broker).await?;
    say(&format!("the power is gone; in the outbox: {} event", shop.waiting().await?));
    say("another relay starts, and waits for the lease of 500 ms");
    publish_all(&shop, shop.relay(Arc::clone(&broker))).await?;
    let deliveries = warehouse.work(&broker).await?;
    anyhow::ensure!(deliveries == 2, "{deliveries} deliveries");
    say("two deliveries with one id, and one parcel");
    warehouse.has_packed(&figs, 1)?;

    title(4, "In order. An order is changed nine times, and three relays work side by side.");
    let nuts = shop.place("nuts").await?;
    for _ in 0..9 {
        shop.change(&nuts).await?;
    }
    let [first, second, third] = [(); 3].map(|()| shop.relay(Arc::clone(&broker)));
    tokio::try_join!(
        publish_all(&shop, first),
        publish_all(&shop, second),
        publish_all(&shop, third)
    )?;
    warehouse.work(&broker).await?;
    warehouse.has_packed(&nuts, 10)?;

    title(5, "Refused. A rejected event becomes a dead letter, and an operator decides about it.");
    let (dates, quinces) = (shop.place("dates").await?, shop.place("quinces").await?);
    let picky = Picky { broker: Arc::clone(&broker), dislikes: dates.clone() };
    publish_all(&shop, shop.relay(picky)).await?;
    let letters = shop.outbox().dead_letters(10).await?;
    for letter in &letters {
        say(&format!("dead after {} attempt: {}", letter.attempts, letter.error));
        shop.outbox().redrive(letter.event.id).await?;
    }
    anyhow::ensure!(letters.iter().any(|letter| letter.event.key == dates), "nothing was refused");
    say("redriven, after the broker is fixed");
    publish_all(&shop, shop.relay(Arc::clone(&broker))).await?;
    warehouse.work(&broker).await?;
    warehouse.has_packed(&dates, 1)?;
    warehouse.has_packed(&quinces, 1)?;

    title(6, "Late. The warehouse's belt is jammed, and the event is redelivered.");
    let grapes = shop.place("grapes").await?;
    publish_all(&shop, shop.relay(Arc::clone(&broker))).await?;
    warehouse.jam();
    let deliveries = warehouse.work(&broker).await?;
    anyhow::ensure!(deliveries == 2, "{deliveries} deliveries");
    warehouse.has_packed(&grapes, 1)?;
    println!("\nDone. docs/outbox.md lists every crash point.");
    Ok(())
}

/// Runs a relay until nothing waits any more. That of a service runs until the service ends.
async fn publish_all<P>(shop: &Shop, relay: Relay<Sqlite, P>) -> anyhow::Result<()>
where
    P: Publisher + 'static,
{
    let end = CancellationToken::new();
    let running = tokio::spawn(relay.run(end.clone()));
    while shop.waiting().await? > 0 && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end.cancel();
    Ok(running.await??)
}

/// Simulates a power failure between publishing an event and deleting it from the outbox.
async fn die_after_publishing(shop: &Shop, broker: &Arc<Broker>) -> anyhow::Result<()> {
    let power_cut = Arc::new(Notify::new());
    let doomed = Doomed { broker: Arc::clone(broker), power_cut: Arc::clone(&power_cut) };
    let relay = shop.relay(doomed).lease(Duration::from_millis(500));
    let mut running = tokio::spawn(relay.run(CancellationToken::new()));
    tokio::select! {
        ended = &mut running => ended??,
        () = power_cut.notified() => running.abort(),
    }
    Ok(())
}

/// Publishes one event and does nothing any more.
struct Doomed {
    broker: Arc<Broker>,
    power_cut: Arc<Notify>,
}

impl Publisher for Doomed {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        self.broker.publish(event).await?;
        self.power_cut.notify_one();
        std::future::pending().await
    }
}

/// Will never take the events of one order.
struct Picky {
    broker: Arc<Broker>,
    dislikes: String,
}

impl Publisher for Picky {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        if event.key == self.dislikes {
            return Err(PublishError::permanent("the broker does not like this order"));
        }
        self.broker.publish(event).await
    }
}

fn title(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn say(text: &str) {
    println!("   → {text}");
}
