//! The wall clock, passed in wherever a time of day is needed.
//!
//! Intervals and ages that a changed clock must not disturb use tokio's
//! [`Instant`] instead, which tests can pause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// A moment by both clocks: the wall clock, which may be set, and one that nobody sets but
/// that may stand still while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// The time since the machine started.
    pub instant: Instant,
}

impl Moment {
    /// How long it is since `earlier`: the larger of what the two clocks say.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let by_wall_clock = Duration::try_from(self.wall.duration_since(earlier.wall));
        let elapsed = self.instant.saturating_duration_since(earlier.instant);
        elapsed.max(by_wall_clock.unwrap_or_default())
    }
}

impl Clock {
    /// The system's clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// A clock that says what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// This moment, by this clock and by the one that nobody sets.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            wall: self.now(),
            instant: Instant::now(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
