//! Functions of the user's that are called when something worth knowing happens.

use crate::engine::CallName;
use crate::error::Error;

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

type Hook = Box<dyn Fn(&Event<'_>) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) replay: Option<Hook>,
    pub(crate) unrecorded: Option<Hook>,
    pub(crate) takeover: Option<Hook>,
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
}

fn call(hook: Option<&Hook>, event: &Event<'_>) {
    if let Some(hook) = hook {
        hook(event);
    }
}
