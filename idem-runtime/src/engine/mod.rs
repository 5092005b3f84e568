//! The engine: it runs a body at most once at a time, records its outcome, and gives it to every
//! duplicate.
//!
//! Start reading at `run` (one call, top-down), then
//! [`transition`](crate::storage::transition) (the states of a record) and
//! [`storage`](crate::storage) (the verbs).
//!
//! | module | subject |
//! |---|---|
//! | `flight`, `follow` | the in-flight table of this process, and duplicates that follow a call in it |
//! | `renewal` | heartbeats |
//! | `shared` | what the calls of a handle share |
//! | `settle`, `guard` | persisting the outcome; dropped futures and panics |
//! | `call`, `claim` | a call without its body; the claim, and waiting for another process |
//! | `report` | how a call is counted |
//! | `finish` | bodies that outlive their caller |
//! | `read_back` | results that do not decode again |

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
