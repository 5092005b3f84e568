//! The kinds of errors.

/// What went wrong, in the terms a caller acts on. Each kind says what the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another call with this key is running and its result did not arrive within `wait`.
    ///
    /// *Do:* call again with the same key after [`Error::retry_after`](crate::Error::retry_after),
    /// or give the operation a longer `wait`.
    AlreadyProcessing,
    /// The first call with this key failed, and its duplicates get that failure.
    ///
    /// *Do:* handle it like the original failure. Its text is
    /// [`Error::failure`](crate::Error::failure), and the error's source. A new attempt needs a new
    /// key.
    PreviouslyFailed,
    /// The outcome is unknown: the previous owner crashed and the operation's crash policy is
    /// `park`, or the reply to a transaction's `COMMIT` was lost and its result could not be read
    /// back.
    ///
    /// *Do:* for a parked call check the outside system, then resolve the record by hand; calling
    /// again changes nothing. For a transaction, where
    /// [`Error::is_retryable`](crate::Error::is_retryable) is true, call again with the same key in
    /// a new transaction: it replays if the first was committed.
    Indeterminate,
    /// The key was used before with other arguments or for another operation, which the text names
    /// where this process knows it.
    ///
    /// *Do:* fix the caller; a key names one intended effect.
    Mismatch,
    /// This call's lease expired while its body ran, and another owner took over and is still
    /// running.
    ///
    /// *Do:* call again with the same key to get the other owner's result. Find out why the
    /// heartbeat stopped, or raise `lease`.
    LeaseLost,
    /// The storage could not be reached, refused, or did not answer in time, before the body ran.
    ///
    /// *Do:* call again with the same key. The text says what failed; the source is the error of
    /// the storage's client or server.
    Storage,
    /// A result could not be encoded, or a stored result does not decode as the requested type.
    ///
    /// *Do:* make the type's `Serialize` and `Deserialize` agree, or choose a codec that can
    /// express it.
    Serialization,
    /// The arguments give no valid key: it is empty, too long, not UTF-8, or they cannot be
    /// serialized.
    ///
    /// *Do:* fix the key template or the argument; the operation did not run.
    KeyGeneration,
    /// No storage was configured: neither `with`, nor a task-local override, nor a global one.
    ///
    /// *Do:* call `idempotency::set_global` once at start-up. A task spawned inside
    /// `idempotency::with` does not inherit its handle: pass the handle, or wrap the task's future
    /// in `with`.
    NotConfigured,
    /// `set_global` was called a second time.
    ///
    /// *Do:* call it once; use `idempotency::with` for overrides.
    AlreadyConfigured,
    /// The body called its own operation with its own key, and would wait for itself.
    ///
    /// *Do:* remove the recursion or give the inner call another key.
    Reentrant,
    /// The stored record cannot be read: damaged, written by a newer version, or of another type.
    ///
    /// *Do:* upgrade, or inspect and remove the record by hand. It was left unchanged, and the body
    /// did not run.
    Corrupt,
    /// The first call's result exceeded the size limit, so it cannot be replayed.
    ///
    /// *Do:* raise `max_result_size`, or return a reference to the data instead of the data.
    TooLarge,
    /// A setting is invalid: a zero duration, a ttl shorter than the lease, a malformed URL, a
    /// server that is too old.
    ///
    /// *Do:* fix the configuration; the message names the setting.
    Configuration,
}

impl ErrorKind {
    /// The kind's stable name in `snake_case`, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyProcessing => "already_processing",
            Self::PreviouslyFailed => "previously_failed",
            Self::Indeterminate => "indeterminate",
            Self::Mismatch => "mismatch",
            Self::LeaseLost => "lease_lost",
            Self::Storage => "storage",
            Self::Serialization => "serialization",
            Self::KeyGeneration => "key_generation",
            Self::NotConfigured => "not_configured",
            Self::AlreadyConfigured => "already_configured",
            Self::Reentrant => "reentrant",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::Configuration => "configuration",
        }
    }
}
