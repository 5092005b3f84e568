//! Runtime of the `idempotency` crate: engine, storages, keys, codecs. Use it through the facade
//! `idempotency`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums)]
// `tests/schedules` builds these sources a second time; their own tests run here alone.
#![cfg(not(all(idem_shuttle, test)))]

pub mod canonical;
mod chain;
pub mod clock;
pub mod codec;
#[cfg_attr(idem_shuttle, path = "../../tests/schedules/src/driver.rs")]
mod driver;
pub mod engine;
mod error;
pub mod fingerprint;
mod hex;
pub mod hooks;
#[doc(hidden)]
pub mod internal;
pub mod key;
mod key_hash;
pub mod macro_support;
pub mod policy;
pub mod record;
mod runtime;
mod scan;
pub mod storage;
#[cfg_attr(idem_shuttle, path = "../../tests/schedules/src/sync.rs")]
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use engine::{
    Context, Idempotency, IdempotencyBuilder, Operation, Outcome, Source, current, handle,
    set_global, with,
};
pub use error::{Disposition, Error, ErrorKind};
pub use fingerprint::Fingerprint;
pub use key::Key;
pub use record::CrashPolicy;

/// Types in the parameters and bounds of [`Operation`].
pub mod operation {
    pub use crate::engine::{Attached, Detached, Leased};
    pub use crate::key::IntoKey;
}

/// Calls inside the application's own database transaction: the types of
/// [`Idempotency::transaction`] and [`Idempotency::in_transaction`].
///
/// Claim, effect and result are one commit, which is the only true "exactly once".
/// [`Idempotency::commit`] commits, and resolves an ambiguous commit when the reply is lost. A
/// second transaction with the same key learns of the first:
///
/// | database | when |
/// |---|---|
/// | Postgres, MariaDB | at once |
/// | MySQL | after one second, its shortest lock timeout |
/// | SQLite | once it holds the write lock |
///
/// The page `docs/exactly-once.md` of the repository shows the sequence, every point of failure,
/// and the effect of isolation levels.
#[cfg(feature = "_sql")]
pub mod transaction {
    pub use crate::engine::retry::{BodyError, kinds};
    pub use crate::engine::{InTransaction, TransactionBuilder, Within};
    pub use crate::storage::sql::transaction::{
        Isolation, TransactionConnection, TransactionDatabase, Tx,
    };
}

/// The version of `sqlx` whose pools and transactions the SQL storages and the outbox take.
#[cfg(feature = "_sql")]
#[doc(no_inline)]
pub use sqlx;
