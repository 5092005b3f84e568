//! The recipes of `docs/recipes.md`, one per file. `cargo run --package recipes -- --help` lists
//! them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod daily;
mod handler;
mod mail;
mod one_pool;
mod queue;
mod shutdown;
mod webhooks;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use clap::{Args, Parser, Subcommand};
use idempotency::Idempotency;

use crate::world::World;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Webhooks of Stripe and GitHub, at /stripe and /github
    Webhooks {
        #[command(flatten)]
        place: Place,
        /// The senders' signing secret
        #[arg(long, default_value = "secret")]
        secret: String,
    },
    /// A consumer; messages such as {"id": 1, "cents": 100} are lines of the standard input
    Queue {
        #[command(flatten)]
        place: Place,
    },
    /// A mail that is never sent twice
    Mail {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        user: u64,
        /// How long a crashed process keeps its key
        #[arg(long, default_value_t = 30_000)]
        lease_ms: u64,
    },
    /// A daily report, made once across any number of processes
    Daily {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        day: String,
    },
    /// An axum handler, at /pay, in a service that shuts down gracefully
    Handler {
        #[command(flatten)]
        place: Place,
    },
    /// One pool for application and library
    OnePool {
        /// The URL of a Postgres database
        #[arg(long)]
        database: String,
        #[arg(long)]
        id: i64,
    },
}

#[derive(Args)]
struct Place {
    /// Where the records are
    #[arg(long, default_value = "sqlite:recipes.db")]
    storage: String,
    /// A file that gets a line for each effect
    #[arg(long, default_value = "recipes.txt")]
    world: PathBuf,
    /// Dies between the first effect and its record
    #[arg(long)]
    dies: bool,
}

impl Place {
    async fn open(self) -> anyhow::Result<(Idempotency, World)> {
        Ok((Idempotency::connect(&self.storage).await?, World::new(self.world, self.dies)))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Options::parse().recipe {
        Recipe::Webhooks { place, secret } => {
            let (idem, world) = place.open().await?;
            let app = webhooks::App { idem: idem.clone(), world, secret };
            let router = Router::new()
                .route("/stripe", post(webhooks::stripe))
                .route("/github", post(webhooks::github))
                .with_state(app);
            shutdown::serve(router, idem).await?;
        }
        Recipe::Queue { place } => {
            let (idem, world) = place.open().await?;
            queue::consume(&idem, &world).await?;
        }
        Recipe::Mail { place, user, lease_ms } => {
            let builder = Idempotency::connect_builder(&place.storage).await?;
            let idem = builder
                .lease(Duration::from_millis(lease_ms))
                .on_parked(|parked| eprintln!("parked: {}", parked.operation))
                .build()?;
            println!("{}", mail::welcome(idem, World::new(place.world, place.dies), user).await?);
        }
        Recipe::Daily { place, day } => {
            let (idem, world) = place.open().await?;
            println!("{}", daily::report(&idem, &world, &day).await?);
        }
        Recipe::Handler { place } => {
            let (idem, world) = place.open().await?;
            let app = handler::App { idem: idem.clone(), world };
            let router = Router::new().route("/pay", post(handler::pay)).with_state(app);
            shutdown::serve(router, idem).await?;
        }
        Recipe::OnePool { database, id } => one_pool::run(&database, id).await?,
    }
    Ok(())
}
