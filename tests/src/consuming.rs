use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a consumer process is told: JSON, its only argument. It tells a [`Consumed`] a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Consuming {
    /// The Redis server with the stream.
    pub redis: String,
    /// The stream, which has the group [`Consuming::GROUP`].
    pub stream: String,
    /// Its name in the group.
    pub name: String,
    /// The storage with the records.
    pub storage: String,
    /// The handle's namespace.
    pub namespace: String,
    /// The ledger that is the effect.
    pub ledger: PathBuf,
    /// The lease of a call, and how long a message has to be another's before it is taken from it.
    pub lease: Duration,
    /// Whether a crash parks an event; otherwise the next delivery runs.
    pub parks: bool,
    /// Where it stands still, until it is killed.
    pub stands_still: Option<Point>,
}

impl Consuming {
    /// The group that all consumers are of.
    pub const GROUP: &str = "billing";
}

/// A point on the way of a message through its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Point {
    /// It has been read.
    Read,
    /// The annotated function has begun.
    Begun,
    /// The effect has happened.
    Effected,
    /// It has been recorded.
    Recorded,
}

/// What a consumer tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consumed {
    /// It has come to its [`Point`] with this event.
    StandsStill {
        /// The event's id.
        event: String,
    },
    /// It had a result for this event, its own or a replay.
    Handled {
        /// The event's id.
        event: String,
    },
    /// Nobody knows whether this event had its effect.
    InDoubt {
        /// The event's id.
        event: String,
    },
}
