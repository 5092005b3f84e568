//! Items for the workspace's other crates. Not public API; exempt from semver.

pub use crate::chain::next as next_source;
pub use crate::codec::faithful_json;
#[cfg(any(feature = "redis", feature = "_sql"))]
pub use crate::driver::spawn;
pub use crate::hex::encode as hex;
pub use crate::record::millis;
#[cfg(feature = "redis")]
pub use crate::storage::redis::{Commands, Refusal};
#[cfg(idem_shuttle)]
pub use crate::sync::{mistake, time};

/// Whether there is a tokio runtime with timers.
///
/// # Errors
///
/// The text says what is missing.
pub fn check_runtime() -> Result<(), &'static str> {
    crate::runtime::check().map(drop)
}

/// The parts of the SQL storages.
#[cfg(feature = "_sql")]
pub mod sql {
    pub use crate::storage::sql::connections::{
        Address, Connections, Lent, PATIENCE, Share, address_of,
    };
    pub use crate::storage::sql::dialect::Dialect;
    pub use crate::storage::sql::migrate::{
        Migration, MigrationError, Migrations, migrate, newer_version,
    };
    #[cfg(feature = "mysql")]
    pub use crate::storage::sql::mysql::SETTINGS as MYSQL_SETTINGS;
    pub use crate::storage::sql::table::{Quote, Table};
}
