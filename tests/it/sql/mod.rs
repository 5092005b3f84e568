//! The SQL storages against real databases.

mod postgres;
mod sqlite;
