//! A call that completes without its caller: `on_cancel = "finish"`.
//!
//! The caller polls the call itself. When it drops the call while the body runs, the rest of the
//! call (body, outcome, write) moves to a task on the caller's runtime. Before the body there is
//! nothing to finish, and the call is dropped like any other. A task from the beginning would cost
//! every call, and the body would see none of its caller's task-locals.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{Instrument, Span};

use super::flight::Flight;
use super::global::HandleOverride;
use crate::sync::runtime::Handle;

/// Polled by its caller, and by a task after the caller has dropped it.
pub(crate) struct FinishOnCancel<T: Send + 'static> {
    rest: Option<BoxFuture<'static, T>>,
    flight: Arc<Flight>,
    runtime: Option<Handle>,
    span: Span,
    handle: HandleOverride,
}

impl<T: Send + 'static> FinishOnCancel<T> {
    /// Takes the call `flight`.
    pub(crate) fn new(
        flight: &Arc<Flight>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            rest: Some(call.boxed()),
            flight: Arc::clone(flight),
            runtime: Handle::try_current().ok(),
            span: Span::current(),
            handle: HandleOverride::current(),
        }
    }
}

impl<T: Send + 'static> Future for FinishOnCancel<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken, so that nothing is left after a panic or after completion.
        let Some(mut rest) = self.rest.take() else { return Poll::Pending };
        let poll = rest.as_mut().poll(context);
        if poll.is_pending() {
            self.rest = Some(rest);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for FinishOnCancel<T> {
    fn drop(&mut self) {
        // After the body, the guard continues the write when `rest` is dropped.
        let runs = self.flight.has_begun() && !self.flight.is_settling();
        let Some(rest) = self.rest.take().filter(|_| runs) else { return };
        let Some(runtime) = &self.runtime else { return };
        let operation = &self.flight.name.operation;
        tracing::debug!(%operation, "the caller was dropped: the body runs to completion without it");
        let span = std::mem::replace(&mut self.span, Span::none());
        let handle = std::mem::take(&mut self.handle);
        runtime.spawn(handle.scope(rest.map(drop)).instrument(span));
    }
}
