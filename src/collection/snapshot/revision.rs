//! A number that changes with the contents of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that advances with each change of a store and of its slots, so that a cache knows
/// when it is out of date. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// Tells that something has changed.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// The revision now. A later read of the store sees all changes up to this revision.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
