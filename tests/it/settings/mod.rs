//! Settings that users bring, and that no other test has: rights, defaults of the server, poolers, runtimes that stand still.
//!
//! | file | has |
//! |---|---|
//! | [`matrix`] | what a cell is, and how all of them are run and shown |
//! | [`scenes`] | what is done in each setting, and counts its effects |
//! | [`callers`] | the runtimes that a scene is played on |
//! | [`database`] | the scenes that need transactions |
//! | a file for each storage | its settings |
//!
//! A cell is green or refused before the body, with an error that says what to change. It is never in between: that calls work and their
//! records are lost, that a body runs and its caller is told that it did not, or that nobody gets an answer.

mod callers;
mod database;
mod matrix;
mod mysql;
mod postgres;
mod redis;
mod scenes;
mod sqlite;
