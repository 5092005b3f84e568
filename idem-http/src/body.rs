//! Bodies: read whole up to a limit, or passed through.

use std::error::Error as StdError;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

/// The error type of boxed bodies in tower and axum.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

pin_project! {
    /// The body of a request or a response that passed the layer.
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
        /// The complete body.
        Whole { data: Option<Bytes>, trailers: Option<HeaderMap> },
        /// The part that was read up to the limit, and the rest.
        Begun { read: Option<Bytes>, rest: Pin<Box<B>> },
        /// Not read.
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
            KindProjection::Begun { read, rest } => match read.take() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => rest.as_mut().poll_frame(context),
            },
            KindProjection::Untouched { body } => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Begun { read, rest } => read.is_none() && rest.is_end_stream(),
            Kind::Untouched { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { data, trailers: None } => SizeHint::with_exact(len(data.as_ref())),
            // HTTP/1.1 sends trailers only after a body of unannounced length.
            Kind::Whole { data, trailers: Some(_) } => at_least(len(data.as_ref())),
            Kind::Begun { read, rest } => {
                let read = len(read.as_ref());
                let of_rest = rest.size_hint();
                let mut hint = at_least(of_rest.lower().saturating_add(read));
                if let Some(upper) = of_rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint
            }
            Kind::Untouched { body } => body.size_hint(),
        }
    }
}

fn len(data: Option<&Bytes>) -> u64 {
    data.map_or(0, |data| data.len() as u64)
}

fn at_least(bytes: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(bytes);
    hint
}

/// A complete body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// The result of reading a body.
pub(crate) enum Read<B> {
    Whole(Whole),
    /// A body that exceeds the limit; no byte of it is lost.
    TooLarge(Body<B>),
}

/// Reads a body up to `limit` bytes. A body that announces more is not read.
pub(crate) fn read<B: HttpBody<Data = Bytes>>(body: B, limit: usize) -> Reading<B> {
    Reading { rest: Some(Box::pin(body)), read: Pieces::default(), trailers: None, limit }
}

/// The future of [`read`].
pub(crate) struct Reading<B> {
    /// `None` after the end of the body.
    rest: Option<Pin<Box<B>>>,
    read: Pieces,
    trailers: Option<HeaderMap>,
    limit: usize,
}

impl<B: HttpBody<Data = Bytes>> Future for Reading<B> {
    type Output = Result<Read<B>, B::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { rest: place, read, trailers, limit } = &mut *self;
        while let Some(rest) = place {
            let announced = rest.size_hint().lower();
            if announced.saturating_add(read.len() as u64) > *limit as u64 {
                break;
            }
            let Some(frame) = ready!(rest.as_mut().poll_frame(context)?) else {
                *place = None;
                let (data, trailers) = (mem::take(read).joined(), trailers.take());
                return Poll::Ready(Ok(Read::Whole(Whole { data, trailers })));
            };
            match frame.into_data() {
                Ok(data) => read.add(data),
                Err(frame) => *trailers = frame.into_trailers().ok(),
            }
        }
        // Pending for ever if polled again after completion.
        let Some(rest) = place.take() else { return Poll::Pending };
        let read = Some(mem::take(read).joined()).filter(|read| !read.is_empty());
        Poll::Ready(Ok(Read::TooLarge(Body { kind: Kind::Begun { read, rest } })))
    }
}

/// The bytes read so far. The first piece, most often the only one, is kept as it is. Further
/// pieces are copied behind it at once: kept as they are, many small pieces would take far more
/// memory than their bytes.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn add(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn joined(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    /// A byte in a buffer of its own, which is free again when nobody holds the byte.
    struct Piece(#[expect(dead_code, reason = "it counts")] Arc<()>);

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    #[tokio::test]
    async fn small_pieces_do_not_keep_what_they_came_in() {
        let buffers = Arc::new(());
        let most = AtomicUsize::new(0);
        let pieces = (0..1000).map(|_| {
            most.fetch_max(Arc::strong_count(&buffers) - 1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::from_owner(Piece(Arc::clone(&buffers)))))
        });
        let whole = read(StreamBody::new(stream::iter(pieces)), 1000).await;
        let Ok(Read::Whole(Whole { data, .. })) = whole else { panic!("it is within the limit") };
        assert_eq!(data, [b'x'; 1000].as_slice());
        assert!(most.into_inner() <= 1);
    }
}
