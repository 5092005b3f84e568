//! The future of a response.

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
use crate::call::{AfterBody, KeyedRequest};
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
        stage: FutureStage<S, Q, R>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum FutureStage<S, Q, R>
    where
        S: Service<Request<Body<Q>>>,
        S::Error: Send,
        S::Error: 'static,
        R: Send,
        R: 'static,
    {
        /// The inner service handles the request without idempotency.
        Passing { #[pin] response: S::Future, bypass: Option<Bypass> },
        /// The layer answers by itself.
        Ready { response: Option<Response<Body<R>>> },
        /// The request's body is being read.
        Reading { #[pin] body: Timeout<Reading<Q>>, request: Option<(KeyedRequest, S, Parts)> },
        /// The inner service handles the request once per key.
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
        Self { stage: FutureStage::Passing { response, bypass: None } }
    }

    pub(crate) fn ready(response: Response<Body<R>>) -> Self {
        Self { stage: FutureStage::Ready { response: Some(response) } }
    }
}

impl<S, Q, R> ResponseFuture<S, Q, R>
where
    S: Service<Request<Body<Q>>, Response = Response<R>>,
    S::Error: Send + 'static,
    Q: HttpBody<Data = Bytes>,
    R: Send + 'static,
{
    pub(crate) fn reading(call: KeyedRequest, inner: S, head: Parts, body: Q) -> Self {
        let body = timeout(call.config.body_timeout, read(body, call.config.request_limit.bytes));
        Self { stage: FutureStage::Reading { body, request: Some((call, inner, head)) } }
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
            let step = match stage.as_mut().project() {
                StageProjection::Passing { response, bypass } => {
                    let mut response = ready!(response.poll(context))?.map(Body::untouched);
                    if let Some(why) = bypass {
                        why.mark(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response));
                }
                // Pending for ever if polled again after completion.
                StageProjection::Ready { response } => {
                    return response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it)));
                }
                StageProjection::Reading { body, request } => {
                    let body = ready!(body.poll(context));
                    let Some((call, inner, head)) = request.take() else { return Poll::Pending };
                    call.with_body(inner, head, body)
                }
                StageProjection::Handling { handling } => return Pin::new(handling).poll(context),
            };
            stage.set(match step {
                AfterBody::Pass { response, why } => {
                    FutureStage::Passing { response, bypass: Some(why) }
                }
                AfterBody::Respond(response) => FutureStage::Ready { response: Some(response) },
                AfterBody::Handle(handling) => FutureStage::Handling { handling },
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
