//! Nothing is counted.

pub(crate) fn describe() {}

pub(crate) fn count_events(_outcome: &'static str, _events: usize) {}
