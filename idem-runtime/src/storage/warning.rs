//! What a storage says of its settings, in one form for all.

use std::borrow::Cow;
use std::fmt;

/// A setting under which a storage can lose records, or serves calls slower than it could. From
/// [`Idempotency::warnings`] and [`Storage::warnings`](super::Storage::warnings).
///
/// It displays what can happen and what to set.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::storage::StorageWarning;
///
/// let warning =
///     StorageWarning::new("fsync", "fsync is `off`: set it to `on`");
/// assert_eq!(warning.setting(), "fsync");
/// assert!(warning.to_string().ends_with("set it to `on`"));
/// ```
///
/// [`Idempotency::warnings`]: crate::Idempotency::warnings
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageWarning {
    setting: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl StorageWarning {
    /// A warning about `setting`. The text says what can happen and what to set: lowercase, no full
    /// stop, no password.
    pub fn new(
        setting: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { setting: setting.into(), message: message.into() }
    }

    /// The server's own name of what is set: `"maxmemory-policy"`, `"synchronous_commit"`. It is
    /// stable, for alerts.
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for StorageWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
