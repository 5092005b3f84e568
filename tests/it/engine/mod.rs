//! What the engine promises beside the guarantees.

mod context;
mod hooks;
mod keeper;
mod late_claims;
mod policies;
mod waiting;
