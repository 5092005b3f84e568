//! Functions of the user's that are called when something worth knowing happens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::key::CallName;

/// What happened to which call.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Name of the operation.
    pub operation: &'a str,
    /// The key, without namespace and tenant. It may hold personal data: think before logging it.
    pub key: &'a str,
    /// The tenant, where the operation has one.
    pub tenant: Option<&'a str>,
    /// Why a result is not recorded; `None` for the other hooks.
    pub reason: Option<&'a Error>,
}

impl<'a> Event<'a> {
    pub(crate) fn new(name: &'a CallName, reason: Option<&'a Error>) -> Self {
        Self {
            operation: &name.operation,
            key: name.key.as_str(),
            tenant: name.tenant.as_deref(),
            reason,
        }
    }
}

/// A body that did not come to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Abandoned<'a> {
    /// Name of the operation.
    pub operation: &'a str,
    /// The key, without namespace and tenant. It may hold personal data: think before logging it.
    pub key: &'a str,
    /// The tenant, where the operation has one.
    pub tenant: Option<&'a str>,
    /// Why.
    pub reason: AbandonReason,
}

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbandonReason {
    /// The call's future was dropped while the body ran: a client hung up, a timeout ran out, another branch of a `select!` was faster, the
    /// runtime was shut down.
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

type Hook = Box<dyn Fn(&Event<'_>) + Send + Sync>;

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
    pub(crate) fn replay(&self, event: &Event<'_>) {
        call(self.replay.as_ref(), event);
    }

    pub(crate) fn unrecorded(&self, event: &Event<'_>) {
        call(self.unrecorded.as_ref(), event);
    }

    pub(crate) fn takeover(&self, event: &Event<'_>) {
        call(self.takeover.as_ref(), event);
    }

    /// Called where a future is dropped, perhaps by a panic: a second one would end the process.
    pub(crate) fn abandoned(&self, event: &Abandoned<'_>) {
        let Some(hook) = &self.abandoned else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
            tracing::error!(operation = %event.operation, "the hook `on_abandoned` panicked");
        }
    }

    /// Called where a future is dropped as well.
    pub(crate) fn parked(&self, event: &Event<'_>) {
        if catch_unwind(AssertUnwindSafe(|| call(self.parked.as_ref(), event))).is_err() {
            tracing::error!(operation = %event.operation, "the hook `on_parked` panicked");
        }
    }
}

fn call(hook: Option<&Hook>, event: &Event<'_>) {
    if let Some(hook) = hook {
        hook(event);
    }
}
