//! A call that completes without its caller: `on_cancel = "finish"`.
//!
//! The caller polls the call itself. When it drops the call while the body runs, the rest of the call
//! (body, outcome, write) moves to a task on the caller's runtime. Before the body there is nothing to
//! finish, and the call is dropped like any other. Spawning a task from the beginning would do as
//! well, but every call would pay for it, and the body would see none of its caller's task-locals.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{Instrument, Span};

use super::flight::Flight;
use super::task_override::Override;
use crate::sync::runtime::Handle;

/// Polled by its caller, and by a task when the caller drops it half way.
pub(crate) struct Finish<T: Send + 'static> {
    rest: Option<BoxFuture<'static, T>>,
    flight: Arc<Flight>,
    runtime: Option<Handle>,
    span: Span,
    handle: Override,
}

impl<T: Send + 'static> Finish<T> {
    /// The call `flight`, from now on.
    pub(crate) fn new(
        flight: &Arc<Flight>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            rest: Some(call.boxed()),
            flight: Arc::clone(flight),
            runtime: Handle::try_current().ok(),
            span: Span::current(),
            handle: Override::current(),
        }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken, so that after a panic there is no rest. Polled again after its end, it has none either.
        let Some(mut rest) = self.rest.take() else { return Poll::Pending };
        let poll = rest.as_mut().poll(context);
        if poll.is_pending() {
            self.rest = Some(rest);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // What is left of a call whose body is over is its write, which its guard goes on with wherever this is dropped.
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
