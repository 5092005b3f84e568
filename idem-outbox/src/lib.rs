//! Events that are published if and only if the transaction that made them commits.
//!
//! A service that changes its database and publishes an event about it does two things, and can die
//! between them. With an outbox it does one: [`enqueue`](Outbox::enqueue) inserts the event into a
//! table, in the transaction of the change. A [`Relay`] publishes the events of the table.
//!
//! ```text
//! service   BEGIN · UPDATE orders … · INSERT INTO idempotency_outbox … · COMMIT
//!                                        │
//! relay     lease a batch (one commit) ──► publish ──► remove it (one commit)
//!                                            │
//! broker                          Redis Streams, NATS JetStream, …
//!                                            │
//! consumer  #[idempotent(key = "event:{event.id}")] async fn on_event(event: Event) …
//! ```
//!
//! ```no_run
//! # #[cfg(all(feature = "postgres", feature = "redis"))]
//! # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! use idempotency::outbox::{Outbox, RedisStreams};
//! use tokio_util::sync::CancellationToken;
//!
//! let outbox = Outbox::new(pool.clone());
//! outbox.migrate().await?;
//!
//! let stop = CancellationToken::new();
//! let relay = outbox.relay(RedisStreams::connect("redis://127.0.0.1/")?);
//! let relay = tokio::spawn(relay.run(stop.clone()));
//!
//! let mut tx = pool.begin().await?;
//! sqlx::query("UPDATE orders SET state = 'paid' WHERE id = 42").execute(&mut *tx).await?;
//! outbox.enqueue(&mut tx, "orders", "42", &serde_json::json!({ "paid": 1999 })).await?;
//! tx.commit().await?;
//!
//! stop.cancel();
//! relay.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **Published if and only if committed.** The event is a row of the user's transaction.
//! - **At least once, with one id.** A relay that dies after publishing and before removing an event
//!   publishes it again, with the same [`EventId`]. A consumer with `key = "event:{event.id}"` takes
//!   effect once, with this library's guarantees; strictly once in a transaction of its own database.
//! - **In order for each topic and key.** An event is not published before the earlier events of its
//!   topic and key. A failure stops its key and no other. A redelivered event may arrive after later
//!   events, so a consumer that remembers ids sees the order of the first deliveries.
//! - **No transaction is open while an event is being published**, and no session state is kept, so
//!   poolers work.
//!
//! # Limits
//!
//! - The order is that of the rows' numbers, which a database assigns at the insert and not at the
//!   commit. Of two concurrent transactions that enqueue for the same key, the one with the later number
//!   may commit first, and its event may be published first. Transactions that lock the row which the
//!   key names (the order, say) before they enqueue do not overlap.
//! - A relay that is suspended for longer than its lease in the middle of publishing (a stopped machine)
//!   may finish that one event after another relay has published it and the following ones. Its later
//!   writes are rejected.
//!
//! # Failures
//!
//! | what dies | then |
//! |---|---|
//! | the service, before its commit | there is no event |
//! | the service, after its commit | a relay publishes the event |
//! | a relay, with leased events that it has not published | another relay, or the next process, leases them after the lease |
//! | a relay, between publishing and removing | another relay publishes them again, with the same ids |
//! | the broker | relays pause, up to 5 s at a time, and no event's attempts are counted |
//! | the database | nothing new is leased; published events are removed when it answers within the lease |
//! | a consumer | its message is redelivered, and its key is resolved by its crash policy |
//!
//! # Dead letters
//!
//! An event that the broker refuses is retried after a pause that doubles, and becomes a dead
//! letter after [`Relay::max_attempts`]. [`Outbox::dead_letters`] lists them, with the last error;
//! [`Outbox::redrive`] makes one pending again, and [`Outbox::discard`] removes it.
//! [`OnDeadLetter`] decides whether later events of its key are published meanwhile.
//!
//! # Features
//!
//! This crate is `idempotency::outbox` of the crate [`idempotency`](https://docs.rs/idempotency);
//! use it from there.
//!
//! Events and the [`Publisher`] trait come with `outbox`, so that consumers need no database.
//! [`Outbox`] and [`Relay`] need one of `postgres`, `mysql` and `sqlite`; `RedisStreams` needs
//! `redis`, and `JetStream` needs `nats`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums)]

#[cfg(feature = "_sql")]
mod database;
#[cfg(feature = "_sql")]
mod dead_letters;
mod error;
mod event;
#[cfg(feature = "nats")]
mod jetstream;
#[cfg(feature = "_sql")]
mod migrate;
#[cfg(feature = "_sql")]
mod outbox;
mod publisher;
#[cfg(feature = "redis")]
mod redis_streams;
#[cfg(feature = "_sql")]
mod relay;
#[cfg(feature = "_sql")]
mod rights;
#[cfg(feature = "_sql")]
mod store;
#[cfg(feature = "_sql")]
mod telemetry;

#[cfg(feature = "mysql")]
pub use self::database::MYSQL_SCHEMA;
#[cfg(feature = "postgres")]
pub use self::database::POSTGRES_SCHEMA;
#[cfg(feature = "sqlite")]
pub use self::database::SQLITE_SCHEMA;
#[cfg(feature = "_sql")]
pub use self::{
    database::OutboxDatabase,
    dead_letters::DeadLetter,
    outbox::{MAX_KEY_LEN, MAX_TOPIC_LEN, Outbox, OutboxBuilder},
    relay::{OnDeadLetter, Relay},
};
pub use error::{OutboxError, OutboxErrorKind};
pub use event::{Event, EventId};
#[cfg(feature = "nats")]
pub use jetstream::JetStream;
pub use publisher::{PublishError, PublishErrorKind, Publisher};
#[cfg(feature = "redis")]
pub use redis_streams::RedisStreams;
