//! The engine: it runs a body at most once at a time, records its outcome, and gives it to every
//! duplicate.
//!
//! Start reading at `run` (one call, top-down), then
//! [`transition`](crate::storage::transition) (the states of a record) and
//! [`storage`](crate::storage) (the verbs).
//!
//! | module | subject |
//! |---|---|
//! | `flight`, `in_flight_table`, `follow` | an in-flight call; the table of them in this process; duplicates that follow a call |
//! | `renewal` | heartbeats |
//! | `shared` | what the calls of a handle share |
//! | `settle`, `guard` | persisting the outcome; dropped futures and panics |
//! | `call`, `claim` | a call without its body; the claim, and waiting for another process |
//! | `report` | how a call is counted |
//! | `finish_on_cancel` | bodies that outlive their caller |
//! | `throttled_log` | log lines about a storage in trouble |
//! | `retry` | which failed transactions are retried |
//! | `read_back` | results that do not decode again |

mod call;
mod claim;
#[cfg(feature = "_sql")]
mod commit;
mod connect;
mod context;
mod execution;
mod finish_on_cancel;
mod flight;
mod follow;
mod global;
mod guard;
mod handle;
mod handle_builder;
mod health;
mod in_flight_table;
mod operation;
mod operation_names;
mod outcome;
mod parked_records;
mod read_back;
mod renewal;
mod report;
#[cfg(feature = "_sql")]
pub(crate) mod retry;
mod run;
mod settings;
mod settle;
mod shared;
mod throttled_log;
#[cfg(feature = "_sql")]
pub(crate) mod transaction;
#[cfg(feature = "_sql")]
mod transaction_builder;

pub use context::{Context, current};
pub use global::{handle, set_global, with};
pub use handle::Idempotency;
pub use handle_builder::IdempotencyBuilder;
pub use operation::{Attached, Detached, Leased, Operation};
pub use outcome::{Outcome, Source};
#[cfg(feature = "_sql")]
pub use transaction::{InTransaction, Within};
#[cfg(feature = "_sql")]
pub use transaction_builder::TransactionBuilder;
