//! The SQLite storage on files and in memory.

mod conformance;
