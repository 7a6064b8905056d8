//! A body of two frames whose length is known.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Two pieces, one sent after the other without a copy.
#[derive(Debug)]
pub(super) struct Frames {
    pieces: [Option<Bytes>; 2],
}

impl Frames {
    pub(super) fn new(pieces: [Bytes; 2]) -> Self {
        Self {
            pieces: pieces.map(|piece| Some(piece).filter(|piece| !piece.is_empty())),
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.iter_mut().find_map(Option::take);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.iter().all(Option::is_none)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.pieces.iter().flatten();
        let left = left.map(|piece| piece.len() as u64);
        SizeHint::with_exact(left.sum())
    }
}
