//! One call without its body: its settings, its claim, and its outcome for the caller, duplicates,
//! hooks and metrics.
//!
//! `run.rs` makes it with a record of its own, `transaction.rs` in the application's transaction.

use std::sync::Arc;
use std::time::Duration;

use super::flight::Flight;
use super::operation_names::OPERATION_NAMES;
use super::outcome::{Outcome, Source};
use super::shared::SharedHandle;
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::CallEvent;
use crate::policy::{ErrorPolicy, MapError, Policy, Storable};
use crate::record::{CrashPolicy, Failure, Finish, Finished};
use crate::storage::{Claim, Storage};
use crate::sync::time::timeout;

/// Everything about a call but its body.
pub(crate) struct Call {
    pub(crate) inner: Arc<SharedHandle>,
    /// Its entry in the in-flight table.
    pub(crate) flight: Arc<Flight>,
    pub(crate) ttl: Duration,
    pub(crate) wait: Option<Duration>,
    pub(crate) on_crash: CrashPolicy,
    pub(crate) codec: AnyCodec,
    pub(crate) fail_open: bool,
}

/// Why a call has no value.
pub(crate) enum CallError<E> {
    /// The body's error.
    Body(E),
    /// The error of the first call's body.
    Replayed(E),
    /// This library's error.
    Library(Error),
}

impl<E> CallError<E> {
    /// In the body's type.
    pub(super) fn into_error(self, map: &impl MapError<E>) -> E {
        match self {
            Self::Body(error) | Self::Replayed(error) => error,
            Self::Library(error) => map.map(error),
        }
    }
}

impl<E> From<Error> for CallError<E> {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

/// The outcome of a body as it is recorded.
pub(super) struct Recording {
    /// `None` releases the key.
    pub(super) finish: Option<Finish>,
    /// Why the result itself is not recorded.
    pub(super) unstorable: Option<Error>,
}

/// How long the record is loaded for the text of a mismatch.
const MISMATCH_PATIENCE: Duration = Duration::from_millis(500);

impl Call {
    /// Fails where the call is made inside the body of a call that it would wait for.
    pub(super) fn check_reentrancy(&self) -> Result<(), Error> {
        if self.flight.is_reentrant() {
            let text = "the operation calls itself with the same key and would wait for itself";
            return Err(self.error(ErrorKind::Reentrant, text));
        }
        Ok(())
    }

    pub(super) fn claim_request(&self) -> Claim {
        Claim {
            key: self.flight.name.record.clone(),
            owner: self.flight.owner,
            fingerprint: self.flight.name.fingerprint,
            lease: self.flight.lease,
            ttl: self.ttl,
            on_crash: self.on_crash,
        }
    }

    /// The key is another call's. The error names that call's operation if this process knows it.
    pub(super) async fn mismatch(&self) -> Error {
        let name = &self.flight.name;
        let limit = MISMATCH_PATIENCE.min(self.inner.claim_timeout);
        let stored = timeout(limit, self.inner.storage.load(&name.record)).await;
        let stored = stored.ok().and_then(Result::ok).flatten();
        // A record that has changed meanwhile says nothing.
        let other = stored.filter(|record| record.fingerprint != name.fingerprint);
        let text = match other.and_then(|record| OPERATION_NAMES.named(record.owner.tag())) {
            Some(known) if *known == *name.operation => {
                "the key was used before by this operation, with other arguments or type parameters"
                    .into()
            }
            Some(other) => format!("the key was used before by the operation `{other}`"),
            None => "the key was used before for another operation or with other arguments".into(),
        };
        Error::new(ErrorKind::Mismatch, text).of_call(name)
    }

    /// The outcome to record.
    pub(super) fn recording<T: Storable, E>(
        &self,
        policy: &impl Policy<T, E>,
        result: &Result<T, E>,
    ) -> Recording {
        let (finish, unstorable) = match result {
            Ok(value) if policy.keeps(value) => match self.encode(value) {
                Ok(finish) => (Some(finish), None),
                Err((failure, error)) => (Some(Finish::Failed(failure)), Some(error)),
            },
            Ok(_) => (None, None),
            Err(error) => {
                let failure = policy.record(error, &self.codec);
                let failure = failure.map(|failure| bounded(failure, self.inner.max_result_size));
                (failure.map(Finish::Failed), None)
            }
        };
        Recording { finish, unstorable }
    }

    /// The result as it is stored. The first result of each operation is decoded again, and in
    /// debug builds every result: a type whose `Serialize` and `Deserialize` disagree fails here,
    /// not at the first duplicate.
    fn encode<T: Storable>(&self, value: &T) -> Result<Finish, (Failure, Error)> {
        let text = "the result cannot be stored";
        let unserializable = |why| {
            let error = self.error(ErrorKind::Serialization, text).with_source(why);
            (Failure::Unserializable, error)
        };
        let payload = self.codec.encode(value).map_err(unserializable)?;
        if payload.bytes.len() > self.inner.max_result_size {
            let failure = Failure::TooLarge { size: payload.bytes.len() as u64 };
            return Err((failure, self.error(ErrorKind::TooLarge, text)));
        }
        let operation = &self.flight.name.operation;
        if cfg!(debug_assertions) || self.inner.read_back.is_due(operation) {
            let read: Result<T, _> = self.codec.decode(&payload);
            read.map_err(|why| unserializable(format!("it cannot be read back: {why}").into()))?;
            self.inner.read_back.succeeded(operation);
        }
        Ok(Finish::Completed(payload))
    }

    /// The outcome of a duplicate.
    pub(super) fn replay<T: Storable, E>(
        &self,
        policy: &impl ErrorPolicy<E>,
        finished: Finished,
    ) -> Result<Outcome<T>, CallError<E>> {
        if !finished.finish.is_parked() {
            self.inner.parked.resolved(&self.flight.name.record);
        }
        let failure = match finished.finish {
            Finish::Completed(payload) => {
                let value = self.codec.decode(&payload).map_err(|error| self.undecodable(error))?;
                self.inner.hooks.replay(&self.event(None));
                let source = Source::Replayed { completed_at: finished.at.into() };
                return Ok(Outcome { value, source });
            }
            Finish::Failed(failure) => failure,
        };
        self.inner.hooks.replay(&self.event(None));
        let (kind, text) = match failure {
            Failure::Error { message, typed } => {
                if let Some(revived) = typed.and_then(|typed| policy.revive(&typed, &self.codec)) {
                    let error = revived.map_err(|error| self.undecodable(error))?;
                    return Err(CallError::Replayed(error));
                }
                let text = "the first call with this key failed";
                let error = self.error(ErrorKind::PreviouslyFailed, text);
                return Err(error.with_failure(&message).into());
            }
            Failure::Indeterminate => (
                ErrorKind::Indeterminate,
                "the previous owner crashed and its outcome is unknown: check whether it took effect, then resolve the record",
            ),
            Failure::TooLarge { .. } => (
                ErrorKind::TooLarge,
                "the first call succeeded but its result was too large to store",
            ),
            Failure::Unserializable => (
                ErrorKind::Serialization,
                "the first call succeeded but its result could not be encoded",
            ),
        };
        Err(self.error(kind, text).into())
    }

    /// The source of this call's value. A value that is not recorded is logged and reported to the
    /// hook.
    pub(super) fn source(&self, unrecorded: Option<&Error>) -> Source {
        let Some(error) = unrecorded else {
            return Source::Executed { recovered: self.flight.is_recovery() };
        };
        let operation = &self.flight.name.operation;
        tracing::error!(%operation, %error, "the result of a call is not recorded");
        self.inner.hooks.unrecorded(&self.event(Some(error)));
        Source::Unrecorded
    }

    /// The metric's label for the outcome.
    pub(super) fn counted_as<T, E>(
        &self,
        result: &Result<Outcome<T>, CallError<E>>,
    ) -> &'static str {
        match result {
            Ok(Outcome { source: Source::Executed { recovered: false }, .. }) => "executed",
            Ok(Outcome { source: Source::Executed { recovered: true }, .. }) => "recovered",
            Ok(Outcome { source: Source::Replayed { .. }, .. }) | Err(CallError::Replayed(_)) => {
                "replayed"
            }
            Ok(Outcome { source: Source::Unrecorded, .. }) => "unrecorded",
            Err(CallError::Body(_)) if self.flight.is_reentered() => ErrorKind::Reentrant.as_str(),
            Err(CallError::Body(_)) => "failed",
            Err(CallError::Library(error)) => error.kind().as_str(),
        }
    }

    pub(super) fn event<'a>(&'a self, reason: Option<&'a Error>) -> CallEvent<'a> {
        CallEvent::new(&self.flight.name, reason)
    }

    pub(super) fn error(&self, kind: ErrorKind, text: &'static str) -> Error {
        Error::new(kind, text).of_call(&self.flight.name)
    }

    pub(super) fn already_processing(&self, lease_left: Duration) -> Error {
        self.error(ErrorKind::AlreadyProcessing, "another call with this key is running")
            .with_retry_after(lease_left)
    }

    fn undecodable(&self, error: crate::codec::CodecError) -> Error {
        self.error(
            ErrorKind::Serialization,
            "the stored result does not decode as the type asked for",
        )
        .with_source(error)
    }
}

/// Cuts a failure's text at 4 KiB, and drops a typed error over the size limit.
fn bounded(failure: Failure, max_result_size: usize) -> Failure {
    const MAX_TEXT: usize = 4096;
    match failure {
        Failure::Error { mut message, typed } => {
            let fits = |(at, char): (usize, char)| at + char.len_utf8() <= MAX_TEXT;
            let cut = message.char_indices().take_while(|&next| fits(next)).count();
            if let Some((at, _)) = message.char_indices().nth(cut) {
                message.truncate(at);
            }
            let typed = typed.filter(|payload| payload.bytes.len() <= max_result_size);
            Failure::Error { message, typed }
        }
        other => other,
    }
}
