//! The engine: it runs a body at most once at a time, records how it ended, and gives everybody that end.
//!
//! Start reading at `run` (one call, top-down), then [`transition`](crate::storage::transition) (what a record can become) and
//! [`storage`](crate::storage) (the verbs). Beside them: `flight` (the calls under way in this process), `claim` (asking and waiting),
//! `guard` (dropped futures and panics), `report` (what they are counted as), `finish` (bodies that outlive their caller), `read_back` (results that a duplicate could not read), `settle` (writing the end), `renewal` (heartbeats).

#[cfg(feature = "_sql")]
pub(crate) mod again;
mod call;
mod claim;
#[cfg(feature = "_sql")]
mod commit;
mod complaints;
mod connect;
mod context;
mod finish;
mod flight;
mod follow;
mod global;
mod guard;
mod handle;
mod health;
mod names;
mod operation;
mod outcome;
mod parked;
mod read_back;
mod renewal;
mod report;
mod run;
mod settle;
mod shared;
mod task_override;
#[cfg(feature = "_sql")]
mod transact;
#[cfg(feature = "_sql")]
pub(crate) mod transaction;

pub use context::{Context, current};
pub use global::{handle, set_global, with};
pub use handle::{Idempotency, IdempotencyBuilder};
pub use operation::{Attached, Detached, IntoKey, Leased, Operation};
pub use outcome::{Outcome, Source};
#[cfg(feature = "_sql")]
pub use transact::TransactionBuilder;
#[cfg(feature = "_sql")]
pub use transaction::{InTransaction, Within};
