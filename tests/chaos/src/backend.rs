//! What there is to try, what each promises, and what is done to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// A storage with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// One Redis that syncs every write to its disk.
    Redis,
    /// One Redis that keeps nothing on disk.
    RedisVolatile,
    /// A primary and two replicas under three Sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
    /// Postgres with its defaults.
    Postgres,
    /// `MariaDB` or `MySQL` with `innodb_flush_log_at_trx_commit = 1`.
    #[serde(rename = "mysql")]
    MySql,
    /// A file with `synchronous = FULL`.
    Sqlite,
}

/// What a backend may lose, as its documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing that it acknowledged.
    KeepsAll,
    /// Everything, when its server ends.
    ForgetsAtCrash,
    /// At a failover what the old primary acknowledged this long before it, and until all clients have left it.
    ForgetsAtFailOver(Duration),
}

/// Replicas lag by milliseconds; a machine that is busy lets them lag for longer.
const LAG: Duration = Duration::from_secs(3);

impl Backend {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Redis,
        Self::RedisVolatile,
        Self::Sentinel,
        Self::Cluster,
        Self::Postgres,
        Self::MySql,
        Self::Sqlite,
    ];

    /// As `--only` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RedisVolatile => "redis-volatile",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// What it may lose.
    pub fn promise(self) -> Promise {
        match self {
            Self::Redis | Self::Postgres | Self::MySql | Self::Sqlite => Promise::KeepsAll,
            Self::RedisVolatile => Promise::ForgetsAtCrash,
            Self::Sentinel | Self::Cluster => Promise::ForgetsAtFailOver(LAG),
        }
    }

    /// What is done to it, and how often each in relation to the others.
    ///
    /// Clients of Sentinel and Cluster are told where the servers are, so there is no proxy on their way: for a partition the primary stands still.
    pub fn faults(self) -> &'static [(Fault, u32)] {
        use Fault::{
            CrashServer, Cut, Delay, FailOver, Fill, KillWorker, LoseReplies, LoseRequests,
            Partition, StopServer, StopWorker,
        };
        match self {
            Self::Redis => &[
                (KillWorker, 6),
                (StopWorker, 5),
                (Cut, 3),
                (Partition, 5),
                (Delay, 2),
                (LoseRequests, 2),
                (LoseReplies, 3),
                (CrashServer, 3),
                (StopServer, 2),
                (Fill, 2),
            ],
            Self::RedisVolatile => {
                &[(KillWorker, 4), (StopWorker, 3), (Partition, 3), (CrashServer, 2)]
            }
            Self::Sentinel => &[(KillWorker, 3), (StopWorker, 2), (StopServer, 1), (FailOver, 4)],
            Self::Cluster => &[(KillWorker, 4), (StopWorker, 3), (StopServer, 1), (FailOver, 3)],
            Self::Postgres => &[
                (KillWorker, 4),
                (StopWorker, 3),
                (Cut, 2),
                (Partition, 3),
                (Delay, 1),
                (LoseRequests, 1),
                (LoseReplies, 2),
                (CrashServer, 6),
                (StopServer, 1),
                (Fill, 2),
            ],
            Self::MySql => &[
                (KillWorker, 4),
                (StopWorker, 3),
                (Cut, 2),
                (Partition, 3),
                (Delay, 1),
                (LoseRequests, 1),
                (LoseReplies, 2),
                (CrashServer, 4),
                (StopServer, 1),
                (Fill, 2),
            ],
            Self::Sqlite => &[(KillWorker, 14), (StopWorker, 4), (Fill, 3)],
        }
    }

    /// About how long nothing more goes wrong after something did.
    pub fn pace(self) -> Duration {
        Duration::from_millis(match self {
            // There is little else to be done to it.
            Self::Sqlite => 250,
            _ => 450,
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|backend| backend.name()).collect();
        let found = Self::ALL.into_iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| format!("there is no backend {name:?}, only {}", names.join(", ")))
    }
}
