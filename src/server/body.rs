//! The body of an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Either cached pieces that many clients share, or a stream that is computed while it is
/// sent.
#[derive(Default)]
pub(super) struct Body {
    stream: Option<Box<dyn Iterator<Item = io::Result<Bytes>> + Send>>,
    pieces: [Option<Bytes>; 2],
}

/// Bytes with a permit that is given back once the last part of them is sent or dropped.
struct Holding<P> {
    bytes: Bytes,
    _permit: P,
}

impl<P> AsRef<[u8]> for Holding<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// `bytes`, which hold `permit` until the last part of them is sent or dropped.
pub(super) fn holding<P: Send + 'static>(bytes: Bytes, permit: P) -> Bytes {
    let _permit = permit;
    Bytes::from_owner(Holding { bytes, _permit })
}

impl Body {
    /// Two pieces of a known length.
    pub(super) fn pieces(pieces: [Bytes; 2]) -> Self {
        Self {
            stream: None,
            pieces: pieces.map(|piece| Some(piece).filter(|piece| !piece.is_empty())),
        }
    }

    /// A stream of unknown length. An error ends the connection, so that the client sees that
    /// the answer is incomplete.
    pub(super) fn streamed(
        stream: impl Iterator<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self {
            stream: Some(Box::new(stream)),
            ..Self::default()
        }
    }

    /// The same body, which holds `permit` until the client's side has accepted all of it, or
    /// the body is dropped. A body without bytes holds nothing.
    pub(super) fn holding<P: Send + Sync + 'static>(mut self, permit: P) -> Self {
        if let Some(last) = self.pieces.iter_mut().rev().find_map(Option::as_mut) {
            *last = holding(std::mem::take(last), permit);
        } else if let Some(stream) = self.stream.take() {
            let permit = Arc::new(permit);
            let held = stream.map(move |piece| Ok(holding(piece?, Arc::clone(&permit))));
            self.stream = Some(Box::new(held));
        }
        self
    }

    /// The number of bytes, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        let length = self
            .pieces
            .iter()
            .flatten()
            .map(|piece| piece.len() as u64)
            .sum();
        self.stream.is_none().then_some(length)
    }

    /// Whether all of it is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.length() == Some(0)
    }

    /// The next piece to send.
    ///
    /// # Errors
    ///
    /// When the stream fails.
    pub(super) fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(piece) = self.stream.as_mut().and_then(Iterator::next) {
            return Some(piece);
        }
        self.stream = None;
        self.pieces.iter_mut().find_map(Option::take).map(Ok)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::pieces([bytes, Bytes::new()])
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.next().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_permit_is_kept_until_the_last_byte_is_sent_or_the_body_dropped() {
        let bodies = || {
            let pieces = [Bytes::from("one"), Bytes::from("two")];
            let stream = ["a", "the end"].map(|piece| Ok(Bytes::from(piece)));
            [
                Body::from(Bytes::from("one")),
                Body::pieces(pieces),
                Body::streamed(stream.into_iter()),
            ]
        };
        for body in bodies() {
            let permit = Arc::new(());
            let mut body = body.holding(Arc::clone(&permit));
            let mut sent = Vec::new();
            while let Some(bytes) = body.next() {
                assert_eq!(Arc::strong_count(&permit), 2);
                sent.push(bytes.unwrap());
            }
            drop(body);
            assert_eq!(Arc::strong_count(&permit), 2, "its bytes are not sent yet");
            let mut last = sent.pop().unwrap();
            drop(sent);
            drop(last.split_to(1));
            assert_eq!(Arc::strong_count(&permit), 2, "a part is not sent yet");
            drop(last);
            assert_eq!(Arc::strong_count(&permit), 1);
        }
        for body in bodies() {
            let permit = Arc::new(());
            drop(body.holding(Arc::clone(&permit)));
            assert_eq!(Arc::strong_count(&permit), 1);
        }
    }

    #[test]
    fn a_body_without_bytes_keeps_no_permit() {
        let permit = Arc::new(());
        let body = Body::default().holding(Arc::clone(&permit));
        assert_eq!(Arc::strong_count(&permit), 1);
        assert!(body.is_empty());
    }
}
