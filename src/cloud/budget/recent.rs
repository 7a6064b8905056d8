//! How many requests the last minute had.

use std::time::Duration;

use tokio::time::Instant;

/// How many spans are remembered.
const SPANS: u32 = 6;

/// How long each of them is.
const SPAN: Duration = Duration::from_secs(10);

/// Requests, counted by spans of ten seconds.
#[derive(Debug)]
pub(super) struct Recent {
    /// The newest first.
    spans: [u32; SPANS as usize],
    /// When the newest span began.
    since: Instant,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            spans: [0; SPANS as usize],
            since: Instant::now(),
        }
    }

    /// Counts a request.
    pub(super) fn note(&mut self) {
        self.forget();
        let [newest, ..] = &mut self.spans;
        *newest = newest.saturating_add(1);
    }

    /// The requests of the last 50 to 60 seconds.
    pub(super) fn sum(&mut self) -> u32 {
        self.forget();
        self.spans
            .iter()
            .fold(0, |sum, span| sum.saturating_add(*span))
    }

    /// Begins as many spans as have passed since the last one did.
    fn forget(&mut self) {
        let passed = self.since.elapsed().as_secs() / SPAN.as_secs();
        match u32::try_from(passed) {
            Ok(passed) if passed < SPANS => {
                let count = passed as usize;
                self.spans.rotate_right(count);
                self.spans.iter_mut().take(count).for_each(|span| *span = 0);
                self.since += SPAN * passed;
            }
            _ => *self = Self::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_forgotten_after_a_minute() {
        let mut recent = Recent::new();
        recent.note();
        tokio::time::advance(Duration::from_secs(35)).await;
        recent.note();
        recent.note();
        assert_eq!(recent.sum(), 3);
        tokio::time::advance(Duration::from_secs(24)).await;
        assert_eq!(recent.sum(), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(recent.sum(), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(recent.sum(), 0);
        recent.note();
        tokio::time::advance(Duration::from_secs(49)).await;
        assert_eq!(recent.sum(), 1);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(recent.sum(), 0);
    }
}
