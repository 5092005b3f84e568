//! What can go wrong, and how often it did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL to a worker, which is started again a moment later.
    KillWorker,
    /// SIGSTOP to a worker, and SIGCONT before or after its leases have run out.
    StopWorker,
    /// A worker's connections are closed.
    Cut,
    /// A worker's connections are closed, and it gets no new ones for a while.
    Partition,
    /// What a worker sends, or what it is sent, comes late for a while.
    Delay,
    /// Requests of a worker do not arrive.
    LoseRequests,
    /// Replies to a worker do not arrive, although the server did what it was asked to.
    LoseReplies,
    /// SIGKILL to the server, Postgres' immediate stop: it starts again on its data.
    CrashServer,
    /// SIGSTOP to the server, and SIGCONT.
    StopServer,
    /// A primary is replaced: told to hand over, or killed.
    FailOver,
    /// The server, or a worker's disk, has no room for a while.
    Fill,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::KillWorker,
        Self::StopWorker,
        Self::Cut,
        Self::Partition,
        Self::Delay,
        Self::LoseRequests,
        Self::LoseReplies,
        Self::CrashServer,
        Self::StopServer,
        Self::FailOver,
        Self::Fill,
    ];

    /// A few words for the head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::KillWorker => "worker killed",
            Self::StopWorker => "worker stopped",
            Self::Cut => "cut",
            Self::Partition => "parti-tion",
            Self::Delay => "delay",
            Self::LoseRequests => "request lost",
            Self::LoseReplies => "reply lost",
            Self::CrashServer => "server crash",
            Self::StopServer => "server stopped",
            Self::FailOver => "fail-over",
            Self::Fill => "full",
        }
    }
}

/// How often each went wrong.
pub type Tally = BTreeMap<Fault, u64>;
