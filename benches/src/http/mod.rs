//! Requests through the layer, over sockets on loopback: against the same handler on bare axum, and against the handle without HTTP.
//!
//! The clients run in this process too, so that their time counts on both sides of a ratio; they do as little as a client can.

mod connection;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use idempotency::Idempotency;
use parking_lot::Mutex;
use testkit::redis::RedisServer;
use tokio::runtime::Runtime;

pub(crate) use self::service::{request, stuck, stuck_behind_layer};

use self::connection::Connection;
use self::service::{bare, behind_layer};
use crate::callers::{Caller as _, Handle};
use crate::contest::Comparison;
use crate::load::{Turns, drive};
use crate::payload::Pool;
use crate::report::Row;
use crate::sampling::{Sampling, Subject};

const CONNECTIONS: usize = 64;

/// So many requests are replayed over and over.
const REPLAYED: usize = 8192;

/// Everything there is to measure, on memory and on a Redis server of its own.
pub(crate) fn measure(sampling: &mut Sampling<'_>, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let mut rows = on_memory(sampling, runtime)?;
    rows.extend(on_redis(sampling, runtime)?);
    Ok(rows)
}

fn on_memory(sampling: &mut Sampling<'_>, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let bare = runtime.block_on(service::serve(bare()))?;
    let layer = runtime.block_on(service::serve(behind_layer(Idempotency::memory())))?;
    let mut rows = Vec::new();
    for (scenario, keys, at_least) in
        [("HTTP fresh", Keys::fresh(), 0.75), ("HTTP replay", Keys::repeated(), 0.8)]
    {
        let mut subjects = [requests(layer, &keys), unmarked_requests(bare, &keys)];
        if keys.repeat {
            keys.fill(&mut subjects[0], runtime);
        }
        let samples = sampling.contest("memory", scenario, CONNECTIONS, &mut subjects);
        let comparison = Comparison {
            scenario,
            subject: 0,
            limit: 1,
            limit_is: "bare axum, same handler",
            at_least: Some(at_least),
        };
        rows.push(comparison.row("memory", CONNECTIONS, &samples));
    }
    Ok(rows)
}

fn on_redis(sampling: &mut Sampling<'_>, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let server = RedisServer::start();
    let idem = runtime.block_on(Idempotency::connect(&server.url()))?;
    let layer = runtime.block_on(service::serve(behind_layer(idem.clone())))?;
    let in_handler = runtime.block_on(service::serve(service::handle_in_handler(idem.clone())))?;
    let keys = Keys::fresh();
    let handle = Handle(idem);
    let mut pool = Pool::default();
    let alone: Subject<'_> = Box::new(move |runtime, callers, calls| {
        let pool = pool.of(calls);
        runtime.block_on(drive(callers, calls, |turns| handle.run(pool.clone(), turns)))
    });
    let mut subjects =
        [requests(layer, &keys), alone, unmarked_requests(in_handler, &keys)].map(|subject| {
            // What an earlier sample left would be found again.
            let server = &server;
            let mut subject = subject;
            let flushed: Subject<'_> = Box::new(move |runtime, callers, calls| {
                server.command(&["FLUSHALL", "SYNC"]);
                subject(runtime, callers, calls)
            });
            flushed
        });
    let scenario = "HTTP fresh";
    let samples = sampling.contest("redis", scenario, CONNECTIONS, &mut subjects);
    let compare = |limit, limit_is, at_least| {
        let comparison = Comparison { scenario, subject: 0, limit, limit_is, at_least };
        comparison.row("redis", CONNECTIONS, &samples)
    };
    Ok(vec![
        compare(1, "the handle, without HTTP", Some(0.8)),
        compare(2, "axum, the handle in the handler", None),
    ])
}

/// Which keys requests carry.
#[derive(Clone)]
struct Keys {
    next: Arc<AtomicUsize>,
    repeat: bool,
}

impl Keys {
    /// None twice.
    fn fresh() -> Self {
        Self { next: Arc::default(), repeat: false }
    }

    /// The same ones over and over.
    fn repeated() -> Self {
        Self { next: Arc::default(), repeat: true }
    }

    fn next(&self) -> usize {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.repeat { number % REPLAYED } else { number }
    }

    /// Makes what is replayed. These are no replays, so that they count as failed.
    fn fill(&self, subject: &mut Subject<'_>, runtime: &Runtime) {
        self.next.store(0, Ordering::Relaxed);
        subject(runtime, CONNECTIONS, REPLAYED);
    }
}

/// Requests to a service that marks replays; one that is marked otherwise than its key says has failed.
fn requests<'a>(to: SocketAddr, keys: &Keys) -> Subject<'a> {
    let marked = keys.repeat;
    over_connections(to, keys, marked)
}

/// Requests to a service that never marks any.
fn unmarked_requests<'a>(to: SocketAddr, keys: &Keys) -> Subject<'a> {
    over_connections(to, keys, false)
}

/// On connections that stay open from sample to sample.
fn over_connections<'a>(to: SocketAddr, keys: &Keys, marked: bool) -> Subject<'a> {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let keys = keys.clone();
    Box::new(move |runtime, callers, calls| {
        while idle.lock().len() < callers {
            // A server on loopback that does not accept is no case to go on with; the calls on it fail.
            let Ok(connection) = runtime.block_on(Connection::open(to)) else { break };
            idle.lock().push(connection);
        }
        runtime.block_on(drive(callers, calls, |turns| {
            request_in_turn(idle.lock().pop(), Arc::clone(&idle), keys.clone(), marked, turns)
        }))
    })
}

async fn request_in_turn(
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    keys: Keys,
    marked: bool,
    mut turns: Turns,
) -> Turns {
    let Some(mut connection) = connection else {
        while turns.next().is_some() {
            turns.check(Err::<(), _>("no connection"));
        }
        return turns;
    };
    while turns.next().is_some() {
        let outcome = connection.post(keys.next()).await;
        turns.check(match outcome {
            Ok(is_replayed) if is_replayed == marked => Ok(()),
            _ => Err("another response than expected"),
        });
    }
    idle.lock().push(connection);
    turns
}
