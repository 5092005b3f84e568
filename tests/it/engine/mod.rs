//! What the engine promises beside the guarantees.

mod context;
mod hooks;
mod keeper;
mod policies;
mod waiting;
