//! The sources of `idem-runtime`, as they are but for their locks, atomics, tasks and time.
#![allow(
    dead_code,
    missing_docs,
    unnameable_types,
    unexpected_cfgs,
    unreachable_pub,
    unused,
    clippy::all,
    clippy::pedantic,
    reason = "the sources are checked where they are"
)]

pub mod bug;
pub mod time;

include!(concat!(env!("OUT_DIR"), "/woven/lib.rs"));
