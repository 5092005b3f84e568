//! What there is at a moment.

use std::fmt;

use super::rules::{Known, Rule};

/// How long an owner may be silent, in ticks.
pub const LEASE: i8 = 2;

/// How long an end is kept, in ticks.
pub const RETENTION: i8 = 2;

/// Callers in the model.
pub const CALLERS: usize = 3;

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls of each caller, one after the other.
    pub calls: [u8; CALLERS],
    /// Callers that die in a call.
    pub crashes: u8,
    /// Messages that arrive a second time.
    pub repeats: u8,
    /// Requests and replies that are lost.
    pub losses: u8,
    /// Times that the storage's clock is set forward or back.
    pub clock_steps: u8,
    /// What a takeover from each caller does: park where true.
    pub park: [bool; CALLERS],
    /// Whether the last caller uses the key for something else.
    pub mismatch: bool,
}

impl Limits {
    /// Three callers of one key, one of whom parks when it dies and one of whom uses the key for something else.
    pub const NOTHING_GOES_WRONG: Self = Self {
        calls: [1, 1, 1],
        crashes: 0,
        repeats: 0,
        losses: 0,
        clock_steps: 0,
        park: [false, true, false],
        mismatch: true,
    };
}

/// A moment, relative to the present. What is over is just over: how long ago makes no difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i8);

impl Moment {
    /// Later than anything that happens.
    pub const NEVER: Self = Self(i8::MAX);

    /// So long from now.
    pub fn after(ticks: i8) -> Self {
        Self(ticks)
    }

    /// Ticks from now: none or less where it is over.
    pub fn left(self) -> i8 {
        self.0
    }

    /// Whether it has been reached.
    pub fn is_over(self) -> bool {
        self.0 <= 0
    }

    /// The same moment, seen after the clock went on by so many ticks.
    pub fn pass(&mut self, ticks: i8) {
        if *self != Self::NEVER {
            self.0 = (self.0 - ticks).max(-1);
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.0)
    }
}

/// One call of one caller: what the owner id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Which caller.
    pub caller: u8,
    /// Its first call is 1.
    pub number: u8,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// With a value that only this execution gives.
    Value(Call),
    /// With an error that is stored; it is this execution's too.
    Error(Call),
    /// Nobody knows.
    Indeterminate,
}

/// The record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its owner.
    pub owner: Call,
    /// Its fence.
    pub fence: u8,
    /// Whether the key was used for the other thing.
    pub other_use: bool,
    /// Where it stands.
    pub state: Stand,
    /// When it is forgotten.
    pub expires: Moment,
}

impl Entry {
    /// The same record, seen after the clock went on by so many ticks.
    pub fn pass(&mut self, ticks: i8) {
        self.expires.pass(ticks);
        if let Stand::Processing { lease, .. } = &mut self.state {
            lease.pass(ticks);
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stand {
    /// Somebody is at work, or has died.
    Processing {
        /// When others may take over.
        lease: Moment,
        /// Whether a takeover parks it.
        park: bool,
        /// Whether the owner before died.
        recovered: bool,
    },
    /// Its owner gave it up.
    Released,
    /// It has ended.
    Finished(End),
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// The key.
    Claim,
    /// A longer lease.
    Renew,
    /// That this end is recorded.
    Complete(End),
    /// That the key is given up.
    Release,
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// Whose.
    pub call: Call,
    /// What for.
    pub verb: Verb,
}

/// The storage's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The key is the caller's.
    Acquired,
    /// Somebody is at work.
    InProgress,
    /// It has ended, or was used for something else: the call is over.
    Over,
    /// The caller does not own it, or no longer.
    Lost,
    /// Written.
    Done,
}

/// What a caller is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// It has asked for the key and has heard nothing, or that somebody is at work.
    Claiming,
    /// It was told late that the key is its own, and asks for a whole lease before its body begins.
    Confirming,
    /// Its body runs.
    Running,
    /// Its body has ended so.
    Completing(End),
    /// It gives the key up.
    Releasing,
}

/// A caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Calls so far.
    pub calls: u8,
    /// What it is doing in the last one.
    pub phase: Phase,
    /// Whether its own clock has gone on since it first asked for what it is waiting for.
    pub late: bool,
    /// An answer that has not reached it, with what it answers.
    pub mail: Option<(Request, Reply)>,
}

/// Everything at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The key's record.
    pub record: Option<Entry>,
    /// Who calls.
    pub callers: [Caller; CALLERS],
    /// Requests under way, in order, so that equal worlds are equal.
    pub requests: Vec<Request>,
    /// What has been promised about the key.
    pub known: Known,
    /// Events of each kind that may still happen.
    pub crashes: u8,
    /// See [`Limits::repeats`].
    pub repeats: u8,
    /// See [`Limits::losses`].
    pub losses: u8,
    /// See [`Limits::clock_steps`].
    pub clock_steps: u8,
    /// What a takeover from each caller does.
    pub park: [bool; CALLERS],
    /// Whether the last caller uses the key for something else.
    pub mismatch: bool,
    /// The guarantee that was broken last.
    pub broken: Option<Rule>,
}

impl World {
    /// Nothing has happened yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            record: None,
            callers: [Caller { calls: 0, phase: Phase::Idle, late: false, mail: None }; CALLERS],
            requests: Vec::new(),
            known: Known::default(),
            crashes: limits.crashes,
            repeats: limits.repeats,
            losses: limits.losses,
            clock_steps: limits.clock_steps,
            park: limits.park,
            mismatch: limits.mismatch,
            broken: None,
        }
    }

    /// The last call of a caller.
    pub fn call(&self, caller: usize) -> Call {
        Call { caller: u8::try_from(caller).unwrap_or(u8::MAX), number: self.callers[caller].calls }
    }

    /// Whether this call uses the key for the other thing.
    pub fn is_other_use(&self, call: Call) -> bool {
        self.mismatch && usize::from(call.caller) == CALLERS - 1
    }

    /// Puts a request under way; the same one twice is one.
    pub fn send(&mut self, request: Request) {
        if let Err(at) = self.requests.binary_search(&request) {
            self.requests.insert(at, request);
        }
    }

    /// Time goes on, or back.
    pub fn pass(&mut self, ticks: i8) {
        if let Some(record) = &mut self.record {
            record.pass(ticks);
        }
        self.known.pass(ticks);
    }
}
