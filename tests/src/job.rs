//! What a test tells a worker process to do, and what the process tells it back: JSON, one value a line.

use std::path::PathBuf;
use std::time::Duration;

use idem_runtime::ErrorKind;
use idem_runtime::record::CrashPolicy;
use serde::{Deserialize, Serialize};

/// Calls of one operation, all with the same key and all at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The storage.
    pub url: String,
    /// The handle's namespace.
    pub namespace: String,
    /// The ledger in which every execution is entered.
    pub ledger: PathBuf,
    /// The key of all calls.
    pub key: String,
    /// How many calls.
    pub calls: usize,
    /// The operation's lease.
    pub lease: Duration,
    /// The operation's retention.
    pub ttl: Duration,
    /// How long a duplicate waits.
    pub wait: Duration,
    /// Whether a crash parks the key; otherwise the next caller runs.
    pub park: bool,
    /// What the body does.
    pub body: Body,
    /// What the body returns.
    pub value: String,
}

impl Job {
    /// The operation that every job is a call of.
    pub const OPERATION: &str = "charge";

    /// What a takeover does.
    pub fn on_crash(&self) -> CrashPolicy {
        if self.park { CrashPolicy::Park } else { CrashPolicy::Retry }
    }
}

/// What a body does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// It takes this long.
    Sleeps(Duration),
    /// It goes on until this file is there.
    AwaitsFile(PathBuf),
}

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It is connected and waits for a line on its standard input before it makes its calls.
    Ready {
        /// The wall clock of the process, in seconds since the Unix epoch.
        wall_clock: u64,
    },
    /// The body began.
    Began {
        /// The owner's fence.
        fence: u64,
    },
    /// `lease_lost` resolved inside the body.
    LeaseLost,
    /// A call ended.
    Ended(Ended),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// This call ran the body.
    Executed {
        /// The result.
        value: String,
        /// After another owner's crash.
        recovered: bool,
    },
    /// Another call did.
    Replayed {
        /// The result.
        value: String,
    },
    /// This call ran the body, and nobody will know.
    Unrecorded {
        /// The result.
        value: String,
    },
    /// With an error of this kind.
    Refused {
        /// [`ErrorKind::as_str`].
        kind: String,
    },
}

impl Ended {
    /// An error.
    pub fn refused(kind: ErrorKind) -> Self {
        Self::Refused { kind: kind.as_str().to_owned() }
    }
}
