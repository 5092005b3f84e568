//! Records that are part of the application's own transaction, on real databases.

mod abandoned;
mod ambiguous;
mod attribute;
mod calls;
mod commit;
mod concurrent;
mod ended;
mod kills;
mod refused;
mod released;
mod rollback;
mod stage;
mod whole;
