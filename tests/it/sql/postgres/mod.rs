//! The Postgres storage against a real server.

mod conformance;
