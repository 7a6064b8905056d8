//! A log line at most so often, with the number of those that were not shown.
//!
//! What clients, networks or disks can cause again and again must not fill the log. Each
//! kind of such lines has a limit of its own.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A limit for one kind of log lines.
#[derive(Debug)]
pub struct LogLimit {
    interval: Duration,
    state: Mutex<LogLimitState>,
}

#[derive(Debug)]
struct LogLimitState {
    shown_at: Option<Instant>,
    hidden: u64,
}

impl LogLimit {
    /// One line in `interval`. The first is shown at once.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        let state = LogLimitState {
            shown_at: None,
            hidden: 0,
        };
        Self {
            interval,
            state: Mutex::new(state),
        }
    }

    /// One line in a minute.
    #[must_use]
    pub const fn minute() -> Self {
        Self::new(Duration::from_secs(60))
    }

    /// Whether a line may be shown now: then with the number of lines that were hidden
    /// since the last one that was shown, which the line tells as [`hidden`] says.
    #[must_use]
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let last = state.shown_at.map(|at| now.saturating_duration_since(at));
        if last.is_some_and(|ago| ago < self.interval) {
            state.hidden = state.hidden.saturating_add(1);
            return None;
        }
        state.shown_at = Some(now);
        Some(std::mem::take(&mut state.hidden))
    }
}

/// The field `hidden` of a line: absent where none of its kind was hidden before it.
#[must_use]
pub fn hidden(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_many_were_hidden_only_where_some_were() {
        assert_eq!(hidden(0), None);
        assert_eq!(hidden(1), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_in_a_minute_and_each_line_tells_how_many_were_hidden() {
        let limit = LogLimit::minute();
        let mut shown = Vec::new();
        for _ in 0..3 * 60 * 200 {
            shown.extend(limit.admit());
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        assert_eq!(shown, [0, 11_999, 11_999]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_seldom_is_always_shown() {
        let limit = LogLimit::new(Duration::from_secs(600));
        for _ in 0..3 {
            assert_eq!(limit.admit(), Some(0));
            tokio::time::advance(Duration::from_secs(600)).await;
        }
    }
}
