//! Events that are published if and only if the transaction that made them commits.
//!
//! A service that changes its database and tells others about it does two things, and can die between them. With an outbox it does one:
//! [`enqueue`](Outbox::enqueue) writes the event into a table, in the transaction of the change. A [`Relay`] publishes what is in the table.
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
//! # What is promised
//!
//! - **Published if and only if committed.** The event is a row of the user's transaction.
//! - **At least once, with one id.** A relay that dies after publishing and before removing publishes again, with the same [`EventId`].
//!   A consumer that is annotated with `key = "event:{event.id}"` has its effect once, in the sense in which the rest of this library
//!   does; strictly so where it does it in a transaction of its own database.
//! - **In order for each topic and key.** An event is not published before those of its topic and key that were enqueued before it. A
//!   failure stops its key and no other. What was redelivered comes again after events that it has preceded, so a consumer that
//!   remembers ids sees the order of the first deliveries.
//! - **No transaction is open while an event is being published**, and no session state is kept, so that poolers work.
//!
//! # What is not
//!
//! - Order is that of the rows' numbers, which a database gives out when a row is inserted and not when it is committed. Of two transactions
//!   that are open at the same time and enqueue for the same key, the one with the later number may commit first and be published
//!   first. Transactions that lock what the key names (the order's row, say) before they enqueue cannot be open at the same time.
//! - A relay that stands still for longer than its lease in the middle of publishing (a stopped machine) may finish that one event after
//!   another relay has published it and what follows. What it does afterwards is refused.
//!
//! # When something dies
//!
//! | at | then |
//! |---|---|
//! | the service, before its commit | no event |
//! | … after it | the event waits for a relay |
//! | the relay, with events leased and not published | another relay, or the next process, takes them after the lease |
//! | … between publishing and removing | likewise: they are published again, with the same ids |
//! | the broker | the relay pauses, longer each time up to 5 s, and no event's attempts are counted |
//! | the database | nothing new is leased; what was published is noted as soon as it answers, within the lease |
//! | the consumer | its message comes again, and its key is resolved as its crash policy says |
//!
//! # Events that cannot be published
//!
//! An event that the broker refuses is tried again after a pause that doubles, and put aside after so many attempts
//! ([`Relay::max_attempts`]). [`Outbox::dead_letters`] lists those, with the last error; [`Outbox::redrive`] tries one again and
//! [`Outbox::discard`] removes it. [`AfterDeath`] says whether later events of its key go on meanwhile.
//!
//! # Features
//!
//! This crate is `idempotency::outbox` of the crate [`idempotency`](https://docs.rs/idempotency); use it from there.
//!
//! Events and the [`Publisher`] trait come with `outbox`, so that consumers need no database. [`Outbox`] and [`Relay`] need one of
//! `postgres`, `mysql` and `sqlite`; `RedisStreams` needs `redis`, and `JetStream` needs `nats`.

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
    outbox::{LONGEST_KEY, LONGEST_TOPIC, Outbox, OutboxBuilder},
    relay::{AfterDeath, Relay},
};
pub use error::{OutboxError, OutboxErrorKind};
pub use event::{Event, EventId};
#[cfg(feature = "nats")]
pub use jetstream::JetStream;
pub use publisher::{PublishError, PublishErrorKind, Publisher};
#[cfg(feature = "redis")]
pub use redis_streams::RedisStreams;
