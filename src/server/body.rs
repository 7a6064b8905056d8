//! The body of an answer.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// What is sent, without a copy where it is at hand.
pub(super) enum Body {
    /// One piece after the other. Their length is told.
    Pieces([Option<Bytes>; 2]),
    /// What is written only while it is sent.
    Pages(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

impl Body {
    pub(super) fn pieces(pieces: [Bytes; 2]) -> Self {
        Self::Pieces(pieces.map(|piece| Some(piece).filter(|piece| !piece.is_empty())))
    }

    pub(super) fn pages(pages: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self::Pages(Box::new(pages))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::pieces([bytes, Bytes::new()])
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Body")
            .field(&hyper::body::Body::size_hint(self))
            .finish()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Pieces(pieces) => pieces.iter_mut().find_map(Option::take),
            Self::Pages(pages) => pages.next().map(Bytes::from),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Pieces(pieces) => pieces.iter().all(Option::is_none),
            Self::Pages(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pieces(pieces) => {
                let left = pieces.iter().flatten().map(|piece| piece.len() as u64);
                SizeHint::with_exact(left.sum())
            }
            Self::Pages(_) => SizeHint::default(),
        }
    }
}
