//! Records that are part of the application's own transaction, on real databases.

mod attribute;
mod calls;
mod commit;
mod concurrent;
mod kills;
mod refused;
mod stage;
