//! The SQL storages against real databases.

mod mysql;
mod postgres;
mod sqlite;
