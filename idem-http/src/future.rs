//! The response on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::{Timeout, timeout};
use tower_service::Service;

use crate::body::{Body, BoxError, Reading, read};
use crate::bypass::Bypass;
use crate::call::{Call, Next};
use crate::unstoppable::Unstoppable;

pin_project! {
    /// The response of an [`IdempotencyService`](crate::IdempotencyService).
    pub struct ResponseFuture<S, Q, R>
    where
        S: Service<Request<Body<Q>>>,
        S::Error: Send,
        S::Error: 'static,
        R: Send,
        R: 'static,
    {
        #[pin]
        stage: Stage<S, Q, R>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<S, Q, R>
    where
        S: Service<Request<Body<Q>>>,
        S::Error: Send,
        S::Error: 'static,
        R: Send,
        R: 'static,
    {
        /// The layer has nothing to do with it, or not any more.
        Passing { #[pin] response: S::Future, bypass: Option<Bypass> },
        /// The handler has nothing to do with it.
        Ready { response: Option<Response<Body<R>>> },
        /// The request's body is on its way.
        Reading { #[pin] body: Timeout<Reading<Q>>, of: Option<(Call, S, Parts)> },
        /// Once for its key.
        Handling { handling: Unstoppable<Result<Response<Body<R>>, S::Error>> },
    }
}

impl<S, Q, R> ResponseFuture<S, Q, R>
where
    S: Service<Request<Body<Q>>, Response = Response<R>>,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    pub(crate) fn passing(response: S::Future) -> Self {
        Self { stage: Stage::Passing { response, bypass: None } }
    }

    pub(crate) fn ready(response: Response<Body<R>>) -> Self {
        Self { stage: Stage::Ready { response: Some(response) } }
    }
}

impl<S, Q, R> ResponseFuture<S, Q, R>
where
    S: Service<Request<Body<Q>>, Response = Response<R>>,
    S::Error: Send + 'static,
    Q: HttpBody<Data = Bytes>,
    R: Send + 'static,
{
    pub(crate) fn idempotent(call: Call, inner: S, head: Parts, body: Q) -> Self {
        let body = timeout(call.config.body_timeout, read(body, call.config.request_limit.bytes));
        Self { stage: Stage::Reading { body, of: Some((call, inner, head)) } }
    }
}

impl<S, Q, R> Future for ResponseFuture<S, Q, R>
where
    S: Service<Request<Body<Q>>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Q: HttpBody<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Output = Result<Response<Body<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                StageProjection::Passing { response, bypass } => {
                    let mut response = ready!(response.poll(context))?.map(Body::untouched);
                    if let Some(why) = bypass {
                        why.tell(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response));
                }
                // Polled again after its end, it has none.
                StageProjection::Ready { response } => {
                    return response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it)));
                }
                StageProjection::Reading { body, of } => {
                    let body = ready!(body.poll(context));
                    let Some((call, inner, head)) = of.take() else { return Poll::Pending };
                    call.go_on(inner, head, body)
                }
                StageProjection::Handling { handling } => return Pin::new(handling).poll(context),
            };
            stage.set(match next {
                Next::Pass { response, why } => Stage::Passing { response, bypass: Some(why) },
                Next::Respond(response) => Stage::Ready { response: Some(response) },
                Next::Handle(handling) => Stage::Handling { handling },
            });
        }
    }
}

impl<S, Q, R> std::fmt::Debug for ResponseFuture<S, Q, R>
where
    S: Service<Request<Body<Q>>>,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
