//! The engine itself, in a world where everything is decided by one number.
//!
//! Processes with the real engine call a server over a network. Each process is a runtime of its own whose clock moves only when the world
//! says so; all of them run in turn on one thread. What goes wrong, and when, is drawn from the seed, so the same seed is the same story: the
//! [`Report::trace`] of two runs is the same number.
//!
//! | file | |
//! |---|---|
//! | [`mod@world`] | the loop: time goes on, messages arrive, processes run, things go wrong |
//! | [`network`] | messages that are late, lost, repeated, refused |
//! | [`server`] | the records, and the clock that leases run on |
//! | [`storage`] | the [`Storage`](idem_runtime::storage::Storage) that a process sees |
//! | [`process`] | a process, and its clients that call until they are told how it ended |
//! | [`oracle`] | what must hold, judged by what bodies did and what callers were told |

pub mod network;
pub mod oracle;
pub mod process;
pub mod server;
pub mod storage;
pub mod trace;
pub mod world;

pub use self::server::Bug;
pub use self::world::simulate;

/// What a simulation was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// All that happened, as a number.
    pub trace: u64,
    /// Things that went wrong.
    pub faults: u32,
    /// Calls that clients made.
    pub calls: u32,
    /// Bodies that began.
    pub executions: u32,
    /// A guarantee that was broken.
    pub broken: Option<String>,
    /// All that happened, as text, where it was asked for.
    pub story: Vec<String>,
}
