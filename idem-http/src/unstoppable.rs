//! A future that runs to completion even if it is dropped.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

/// Runs in the caller's task. If the caller drops it before completion, a task of its own runs the
/// rest.
///
/// A task from the start would cost every request something, for the few whose clients disconnect.
pub(crate) struct Unstoppable<T: Send + 'static> {
    rest: Option<BoxFuture<'static, T>>,
    /// The runtime and the span of the rest.
    runtime: Option<Handle>,
    span: Span,
}

impl<T: Send + 'static> Unstoppable<T> {
    /// `whole` must not panic. Without a runtime a drop stops it.
    pub(crate) fn new(whole: impl Future<Output = T> + Send + 'static) -> Self {
        let (rest, runtime) = (Some(whole.boxed()), Handle::try_current().ok());
        Self { rest, runtime, span: Span::current() }
    }
}

impl<T: Send + 'static> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Pending for ever if polled again after completion.
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let output = ready!(rest.as_mut().poll(context));
        self.rest = None;
        Poll::Ready(output)
    }
}

impl<T: Send + 'static> Drop for Unstoppable<T> {
    fn drop(&mut self) {
        if let (Some(rest), Some(runtime)) = (self.rest.take(), &self.runtime) {
            let span = mem::replace(&mut self.span, Span::none());
            runtime.spawn(rest.map(drop).instrument(span));
        }
    }
}
