//! Joins the two parts of a small body, so that one system call sends both.

use bytes::Bytes;

/// The longest body that is joined, in bytes. The copy of a longer body would cost more than
/// the system call.
pub(super) const MOST: usize = 256 * 1024;

/// Two buffers for joined bodies: one for the newest body, one for a body that clients still
/// read. However slowly clients read, there are never more buffers.
#[derive(Debug, Default)]
pub(super) struct BufferPool([Option<Bytes>; 2]);

impl BufferPool {
    /// The parts as one piece, if both are small and a buffer is free.
    fn join(&mut self, parts: [&[u8]; 2]) -> Option<Bytes> {
        let length = parts.map(<[u8]>::len).iter().sum();
        if length > MOST {
            self.clear();
            return None;
        }
        let is_free = |buffer: &Option<Bytes>| buffer.as_ref().is_none_or(Bytes::is_unique);
        let free = self.0.iter_mut().find(|buffer| is_free(buffer))?;
        let buffer = free.take().and_then(|buffer| buffer.try_into_mut().ok());
        let mut buffer = buffer.unwrap_or_default();
        buffer.clear();
        buffer.reserve(length);
        for part in parts {
            buffer.extend_from_slice(part);
        }
        let joined = buffer.freeze();
        *free = Some(joined.clone());
        Some(joined)
    }

    /// The parts in one piece or in two.
    pub(super) fn pieces(&mut self, first: &Bytes, second: Vec<u8>) -> [Bytes; 2] {
        match self.join([first, &second]) {
            Some(joined) => [joined, Bytes::new()],
            None => [first.clone(), second.into()],
        }
    }

    /// Frees both buffers.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_small_together_are_one_piece() {
        let mut buffers = BufferPool::default();
        for rest in ["two", "", "three and four"] {
            let joined = buffers.join([b"one", rest.as_bytes()]).unwrap();
            assert_eq!(joined, format!("one{rest}"));
        }
        let most = vec![b'x'; MOST];
        assert_eq!(buffers.join([&most, b""]).unwrap().len(), MOST);
        assert_eq!(buffers.join([&most, b"x"]), None);
    }

    #[test]
    fn what_clients_still_read_stays_as_it_is_and_there_are_never_more_than_two() {
        let mut buffers = BufferPool::default();
        let first = buffers.join([b"first", b""]).unwrap();
        let second = buffers.join([b"second", b""]).unwrap();
        assert_eq!(buffers.join([b"third", b""]), None);
        assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"second"[..]));
        let place = first.as_ptr();
        drop(first);
        let third = buffers.join([b"3", b""]).unwrap();
        assert_eq!(third, "3");
        assert_eq!(third.as_ptr(), place, "the buffer is used again");
        assert_eq!(second, "second");
    }
}
