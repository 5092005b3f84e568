//! A future that comes to its end whether somebody waits for it or not.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

/// Polled by whoever waits for it, in their task; when they drop it half way, a task of its own polls the rest.
///
/// A task from the beginning would do as well, but every request would pay for it, for the few whose clients go away.
pub(crate) struct Unstoppable<T: Send + 'static> {
    rest: Option<BoxFuture<'static, T>>,
    /// Where and under which span the rest is polled.
    runtime: Option<Handle>,
    span: Span,
}

impl<T: Send + 'static> Unstoppable<T> {
    /// `whole` must not panic. Without a runtime it stops where it is dropped.
    pub(crate) fn new(whole: impl Future<Output = T> + Send + 'static) -> Self {
        let (rest, runtime) = (Some(whole.boxed()), Handle::try_current().ok());
        Self { rest, runtime, span: Span::current() }
    }
}

impl<T: Send + 'static> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Polled again after its end, it has none.
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let end = ready!(rest.as_mut().poll(context));
        self.rest = None;
        Poll::Ready(end)
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
