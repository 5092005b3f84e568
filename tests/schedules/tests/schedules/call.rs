//! A caller's future.

use std::mem::forget;
use std::pin::Pin;
use std::task::{Context, Poll};

use idem_shuttle::internal::mistake::{self, Mistake};

/// A call whose drop can be made to do nothing.
pub(crate) struct Call<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Call<T> {
    pub(crate) fn new(call: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(call)))
    }
}

impl<T> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(call) = &mut self.0 else { return Poll::Pending };
        let poll = call.as_mut().poll(context);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if mistake::is(Mistake::IsLeaked) {
            forget(self.0.take());
        }
    }
}
