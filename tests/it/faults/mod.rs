//! Bad input and faults: what every public entry point does with them.

mod attribute;
mod durations;
mod keys;
mod secrets;
mod urls;
mod values;
