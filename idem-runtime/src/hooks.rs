//! What the handle's hooks receive: see [`IdempotencyBuilder`](crate::IdempotencyBuilder).

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::key::CallName;

/// The call that a hook is called for.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallEvent<'a> {
    /// Name of the operation.
    pub operation: &'a str,
    /// The key, without namespace and tenant. It may contain personal data.
    pub key: &'a str,
    /// The tenant, where the operation has one.
    pub tenant: Option<&'a str>,
    /// Why a result is not recorded; `None` for the other hooks.
    pub reason: Option<&'a Error>,
}

impl<'a> CallEvent<'a> {
    pub(crate) fn new(name: &'a CallName, reason: Option<&'a Error>) -> Self {
        Self {
            operation: &name.operation,
            key: name.key.as_str(),
            tenant: name.tenant.as_deref(),
            reason,
        }
    }
}

/// A body that was cancelled or panicked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Abandoned<'a> {
    /// Name of the operation.
    pub operation: &'a str,
    /// The key, without namespace and tenant. It may contain personal data.
    pub key: &'a str,
    /// The tenant, where the operation has one.
    pub tenant: Option<&'a str>,
    /// Why.
    pub reason: AbandonReason,
}

/// Why a body did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbandonReason {
    /// The call's future was dropped while the body ran: a client disconnected, a timeout elapsed,
    /// another branch of a `select!` completed first, or the runtime was shut down.
    Cancelled,
    /// The body panicked.
    Panicked,
}

impl<'a> Abandoned<'a> {
    pub(crate) fn new(name: &'a CallName, reason: AbandonReason) -> Self {
        Self {
            operation: &name.operation,
            key: name.key.as_str(),
            tenant: name.tenant.as_deref(),
            reason,
        }
    }
}

type Hook = Box<dyn Fn(&CallEvent<'_>) + Send + Sync>;

pub(crate) type AbandonedHook = Box<dyn Fn(&Abandoned<'_>) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) replay: Option<Hook>,
    pub(crate) unrecorded: Option<Hook>,
    pub(crate) takeover: Option<Hook>,
    pub(crate) abandoned: Option<AbandonedHook>,
    pub(crate) parked: Option<Hook>,
}

impl Hooks {
    pub(crate) fn replay(&self, event: &CallEvent<'_>) {
        call(self.replay.as_ref(), event);
    }

    pub(crate) fn unrecorded(&self, event: &CallEvent<'_>) {
        call(self.unrecorded.as_ref(), event);
    }

    pub(crate) fn takeover(&self, event: &CallEvent<'_>) {
        call(self.takeover.as_ref(), event);
    }

    /// Called while a future is dropped, perhaps by a panic: a second panic would abort the
    /// process.
    pub(crate) fn abandoned(&self, event: &Abandoned<'_>) {
        let Some(hook) = &self.abandoned else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
            tracing::error!(operation = %event.operation, "the hook `on_abandoned` panicked");
        }
    }

    /// Also called while a future is dropped.
    pub(crate) fn parked(&self, event: &CallEvent<'_>) {
        if catch_unwind(AssertUnwindSafe(|| call(self.parked.as_ref(), event))).is_err() {
            tracing::error!(operation = %event.operation, "the hook `on_parked` panicked");
        }
    }
}

fn call(hook: Option<&Hook>, event: &CallEvent<'_>) {
    if let Some(hook) = hook {
        hook(event);
    }
}
