//! What was asked about one key, when, and what came back.

/// How an operation was ended by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// With something of this number.
    Recorded(u32),
    /// By a takeover that parked it, or by its owner who does not know.
    Indeterminate,
}

/// What is asked. Owners and fingerprints are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The key.
    Claim {
        /// By whom.
        owner: u32,
        /// For what.
        fingerprint: u8,
        /// Microseconds.
        lease: u64,
        /// Whether a takeover parks.
        parks: bool,
    },
    /// A longer lease, as long as the claim's.
    Renew {
        /// By whom.
        owner: u32,
    },
    /// That it ended.
    Complete {
        /// By whom.
        owner: u32,
        /// How.
        end: End,
    },
    /// That others may have it.
    Release {
        /// By whom.
        owner: u32,
    },
}

/// What an owner that lost its lease finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nobody's claim.
    Gone,
    /// Another owner at work.
    TakenOver,
    /// An end.
    Ended(End),
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the fence: nobody had it before, or who had it gave it back.
    Acquired(u64),
    /// With the fence, from an owner that died.
    Recovered(u64),
    /// Somebody else is at work.
    InProgress,
    /// It has ended.
    Replay(End),
    /// The key is for something else.
    Mismatch,
    /// Written.
    Done,
    /// Not written.
    Lost(There),
    /// An error that says that nothing has changed.
    Refused,
}

/// An operation with its times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was asked.
    pub request: Request,
    /// When.
    pub begun: u64,
    /// When the answer came and what it was, if one came.
    pub answered: Option<(u64, Answer)>,
}

/// What happened to one key. Retention is longer than the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// In any order; at most [`History::MOST`].
    pub operations: Vec<Operation>,
    /// By how many microseconds the storage's clock and timestamps may be off: its grain, rounding.
    pub tolerance: u64,
}

impl History {
    /// The search keeps a bit for each operation.
    pub const MOST: usize = 128;
}
