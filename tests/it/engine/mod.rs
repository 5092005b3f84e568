//! What the engine promises beside the guarantees.

mod context;
mod hooks;
mod keeper;
mod late_claims;
pub(crate) mod metrics;
mod policies;
mod waiting;
