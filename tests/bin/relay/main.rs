//! A process that publishes what is in an outbox, as the [`Relaying`] in its only argument says, until it is killed.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "it talks to the tests, and a failed one is their failure"
)]

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_tests::Relaying;
use idempotency::outbox::{Event, Outbox, OutboxDatabase, PublishError, Publisher, RedisStreams};
use sqlx::Pool;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let told = std::env::args().nth(1).expect("what to do is the argument");
    let told: Relaying = serde_json::from_str(&told).expect("the argument says what to do");
    match told.database.split(':').next() {
        Some("postgres") => relay::<sqlx::Postgres>(told).await,
        Some("mysql") => relay::<sqlx::MySql>(told).await,
        _ => relay::<sqlx::Sqlite>(told).await,
    }
}

async fn relay<DB: OutboxDatabase>(told: Relaying) {
    let pool = Pool::<DB>::connect(&told.database).await.expect("the database is there");
    let redis = RedisStreams::connect(&told.redis).expect("the address is one").prefix(told.prefix);
    let left = AtomicUsize::new(told.stands_still_after.unwrap_or(usize::MAX));
    let relay = Outbox::new(pool).relay(Telling { redis, left }).lease(told.lease).batch(8);
    let relay = relay.poll(Duration::from_millis(20));
    relay.run(CancellationToken::new()).await.expect("the settings make sense");
}

/// Publishes, tells, and at last says nothing to anybody any more.
struct Telling {
    redis: RedisStreams,
    left: AtomicUsize,
}

impl Publisher for Telling {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        self.redis.publish(event).await?;
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        {
            let mut out = std::io::stdout().lock();
            // A test that has ended reads no more.
            let _ = writeln!(out, "{}", event.id).and_then(|()| out.flush());
        }
        if left <= 1 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
