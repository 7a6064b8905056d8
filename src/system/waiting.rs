//! How many wait for something.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A waiting party, which counts until it is dropped.
pub struct WaitingCount<'a>(&'a AtomicUsize);

impl<'a> WaitingCount<'a> {
    /// One more than `count`.
    #[must_use]
    pub fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
