//! Nothing is counted: the feature `metrics` is off.

pub(crate) fn describe() {}

pub(crate) fn bypassed(_reason: &'static str) {}

pub(crate) fn problem(_code: &'static str) {}
