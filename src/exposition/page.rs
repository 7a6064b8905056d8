//! Where text is written to.

use std::mem;

/// Something that text is appended to.
pub(super) trait Sink {
    /// Appends `piece`.
    fn put(&mut self, piece: &[u8]);

    /// Appends a few bytes.
    #[inline(always)]
    fn put_few<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put(&bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// Text that is being written.
///
/// Its bytes are there beforehand, so that a short piece costs little more than its
/// copy. In code that is built to be small, appending to a `Vec` is a call each time.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    written: usize,
}

impl Page {
    /// An empty page with space for so many bytes; it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes],
            written: 0,
        }
    }

    /// What is written.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.written).unwrap_or_default()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// How much is written, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.written
    }

    /// Forgets what is written; the space stays.
    pub fn clear(&mut self) {
        self.written = 0;
    }

    /// What is written, alone.
    #[must_use]
    pub fn into_text(mut self) -> Vec<u8> {
        self.bytes.truncate(self.written);
        self.bytes
    }

    /// Appends what is written from `start` to `end` once more.
    #[inline(always)]
    pub(super) fn repeat(&mut self, start: usize, end: usize) {
        let end = end.min(self.written);
        let length = end.saturating_sub(start);
        self.make_space(length);
        self.bytes.copy_within(end - length..end, self.written);
        self.written += length;
    }

    #[inline(always)]
    fn make_space(&mut self, length: usize) {
        if self.bytes.len() - self.written < length {
            self.grow(length);
        }
    }

    /// Makes space for as much again, and for `length` bytes at the least.
    #[cold]
    fn grow(&mut self, length: usize) {
        const LEAST: usize = 4096;
        let size = self.written + self.written.max(length).max(LEAST);
        // Fresh memory is zero already.
        let before = mem::replace(&mut self.bytes, vec![0; size]);
        if let Some(space) = self.bytes.get_mut(..before.len()) {
            space.copy_from_slice(&before);
        }
    }

    #[cold]
    fn put_larger(&mut self, piece: &[u8]) {
        self.grow(piece.len());
        self.put(piece);
    }
}

impl Sink for Page {
    #[inline(always)]
    fn put(&mut self, piece: &[u8]) {
        let space = self.bytes.get_mut(self.written..);
        match space.and_then(|space| space.get_mut(..piece.len())) {
            Some(space) => {
                space.copy_from_slice(piece);
                self.written += piece.len();
            }
            None => self.put_larger(piece),
        }
    }

    #[inline(always)]
    fn put_few<const N: usize>(&mut self, bytes: [u8; N]) {
        let space = self.bytes.get_mut(self.written..);
        match space.and_then(<[u8]>::first_chunk_mut) {
            Some(space) => {
                *space = bytes;
                self.written += N;
            }
            None => self.put_larger(&bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_exactly_what_is_put() {
        for capacity in [0, 3, 10_000, 100_000] {
            let mut page = Page::with_capacity(capacity);
            let mut expected = Vec::new();
            for number in 0..2_000 {
                let piece = number.to_string();
                page.put(piece.as_bytes());
                expected.extend_from_slice(piece.as_bytes());
                let end = page.len();
                page.repeat(end - piece.len(), end);
                expected.extend_from_slice(piece.as_bytes());
            }
            assert!(page.text() == expected, "with a capacity of {capacity}");
            page.clear();
            assert!(page.is_empty());
            page.put(b"new");
            assert_eq!(page.into_text(), b"new");
        }
    }
}
