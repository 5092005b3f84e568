//! What the engine promises beside the guarantees.

mod abandoned;
mod budget;
mod context;
mod health;
mod hooks;
mod keeper;
mod late_claims;
pub(crate) mod metrics;
pub(crate) mod metrics_page;
mod parked;
mod policies;
mod runtimes;
mod waiting;
