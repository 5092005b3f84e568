//! Bodies: read whole up to a limit, or passed through.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a request or a response that has come through the layer.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<B> {
        /// All of it.
        Whole { data: Option<Bytes>, trailers: Option<HeaderMap> },
        /// What was read of it before it was too much, and the rest.
        Begun { read: VecDeque<Bytes>, rest: Pin<Box<B>> },
        /// As it came.
        Untouched { #[pin] body: B },
    }
}

impl<B> Body<B> {
    pub(crate) fn whole(Whole { data, trailers }: Whole) -> Self {
        let data = Some(data).filter(|data| !data.is_empty());
        Self { kind: Kind::Whole { data, trailers } }
    }

    pub(crate) fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Whole { data, trailers } => {
                let data = data.take().map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
            KindProjection::Begun { read, rest } => match read.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => rest.as_mut().poll_frame(context),
            },
            KindProjection::Untouched { body } => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Begun { read, rest } => read.is_empty() && rest.is_end_stream(),
            Kind::Untouched { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { data, .. } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Kind::Begun { read, rest } => {
                let read: u64 = read.iter().map(|data| data.len() as u64).sum();
                let of_rest = rest.size_hint();
                let mut hint = SizeHint::new();
                if let Some(upper) = of_rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint.set_lower(of_rest.lower().saturating_add(read));
                hint
            }
            Kind::Untouched { body } => body.size_hint(),
        }
    }
}

/// All of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// What came of reading a body.
pub(crate) enum Read<B> {
    Whole(Whole),
    /// It has more bytes than the limit; nothing of it is lost.
    TooLarge(Body<B>),
}

/// Reads a body as far as `limit` bytes. One that announces more is not read at all.
pub(crate) async fn read<B: HttpBody<Data = Bytes>>(
    body: B,
    limit: usize,
) -> Result<Read<B>, B::Error> {
    if body.size_hint().lower() > limit as u64 {
        return Ok(Read::TooLarge(Body::untouched(body)));
    }
    if body.is_end_stream() {
        return Ok(Read::Whole(Whole::default()));
    }
    let mut rest = Box::pin(body);
    let mut read = VecDeque::new();
    let mut trailers = None;
    let mut len = 0;
    while let Some(frame) = poll_fn(|context| rest.as_mut().poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) => {
                len += data.len();
                read.push_back(data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if len > limit {
            return Ok(Read::TooLarge(Body { kind: Kind::Begun { read, rest } }));
        }
    }
    Ok(Read::Whole(Whole { data: joined(read, len), trailers }))
}

/// One piece is taken as it is.
fn joined(mut pieces: VecDeque<Bytes>, len: usize) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(len);
    for piece in pieces {
        joined.extend_from_slice(&piece);
    }
    joined.freeze()
}
