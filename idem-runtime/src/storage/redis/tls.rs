//! TLS with rustls. Which cryptography it runs on is the application's choice, so the application installs it.

use rustls::crypto::CryptoProvider;

use crate::storage::{StorageError, StorageErrorKind};

/// Without an installed provider the client would panic while it connects.
pub(super) fn check_provider(server: &str) -> Result<(), StorageError> {
    if CryptoProvider::get_default().is_some() {
        return Ok(());
    }
    Err(StorageError::new(
        StorageErrorKind::Configuration,
        format!(
            "{server} needs TLS and rustls has no crypto provider: install one at start-up, such as \
             `rustls::crypto::ring::default_provider().install_default()`"
        ),
    ))
}
