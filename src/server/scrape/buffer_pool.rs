//! Small parts buffer_pool into one piece, which takes a system call less than two to send.

use bytes::Bytes;

/// What is larger is sent in two pieces: a copy would cost more than it saves, and
/// memory.
pub(super) const MOST: usize = 256 * 1024;

/// Two buffers for buffer_pool parts: one for the newest, one that clients may still be
/// reading. However slowly they read, there are never more.
#[derive(Debug, Default)]
pub(super) struct BufferPool([Option<Bytes>; 2]);

impl BufferPool {
    /// These parts as one piece, if they are small and a buffer is free.
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
        let buffer_pool = buffer.freeze();
        *free = Some(buffer_pool.clone());
        Some(buffer_pool)
    }

    /// These parts in one piece or in two.
    pub(super) fn pieces(&mut self, first: &Bytes, second: Vec<u8>) -> [Bytes; 2] {
        match self.join([first, &second]) {
            Some(buffer_pool) => [buffer_pool, Bytes::new()],
            None => [first.clone(), second.into()],
        }
    }

    /// Lets go of both.
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
            let buffer_pool = buffers.join([b"one", rest.as_bytes()]).unwrap();
            assert_eq!(buffer_pool, format!("one{rest}"));
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
