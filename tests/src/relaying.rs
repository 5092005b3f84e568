use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a relay process is told: JSON, its only argument. It tells the id of each event that it has published, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Relaying {
    /// The database with the outbox.
    pub database: String,
    /// The Redis server to publish to.
    pub redis: String,
    /// What the streams' names begin with.
    pub prefix: String,
    /// How long its events are leased.
    pub lease: Duration,
    /// The publication after which it stands still: the broker has the event, and the database does not hear of it.
    pub stands_still_after: Option<usize>,
}
