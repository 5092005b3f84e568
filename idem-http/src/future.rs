//! The response on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::Response;
use pin_project_lite::pin_project;

use crate::body::Body;

pin_project! {
    /// The response of an [`IdempotencyService`](crate::IdempotencyService).
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        kind: Kind<F, B, E>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F, B, E> {
        /// The layer has nothing to do with it.
        Passing { #[pin] response: F },
        /// The handler has nothing to do with it.
        Ready { response: Option<Response<Body<B>>> },
        /// Once for its key.
        Idempotent { response: BoxFuture<'static, Result<Response<Body<B>>, E>> },
    }
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(crate) fn passing(response: F) -> Self {
        Self { kind: Kind::Passing { response } }
    }

    pub(crate) fn ready(response: Response<Body<B>>) -> Self {
        Self { kind: Kind::Ready { response: Some(response) } }
    }

    pub(crate) fn idempotent(
        response: impl Future<Output = Result<Response<Body<B>>, E>> + Send + 'static,
    ) -> Self {
        Self { kind: Kind::Idempotent { response: Box::pin(response) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Passing { response } => {
                let response = ready!(response.poll(context))?;
                Poll::Ready(Ok(response.map(Body::untouched)))
            }
            // Polled again after its end, it has none.
            KindProjection::Ready { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            KindProjection::Idempotent { response } => response.as_mut().poll(context),
        }
    }
}

impl<F, B, E> std::fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
