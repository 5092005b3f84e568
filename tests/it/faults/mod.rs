//! Bad input and faults: what every public entry point does with them.

mod attribute;
pub(crate) mod chains;
mod durations;
mod keys;
mod refusals;
mod secrets;
mod urls;
mod values;
