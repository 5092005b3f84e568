//! What hunts for violations of the guarantees before users meet them.
//!
//! [`model`] explores every order of events that a few callers, a network that loses and repeats messages, and a clock can bring about,
//! over the very state machine that the storages run.
//! [`sim`] runs the engine itself, in several processes on a network and a clock where all that happens is drawn from a seed.
//! [`linear`] judges what concurrent callers of any storage were told.

pub mod linear;
pub mod model;
pub mod sim;
