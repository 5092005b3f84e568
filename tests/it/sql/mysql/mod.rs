//! The MySQL storage against a real server.

mod conformance;
