//! The wall clock, passed in wherever a time of day is needed.
//!
//! Intervals that a changed clock must not disturb use tokio's [`Instant`], which tests
//! can pause. When something happened is kept as a [`TimePoint`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// How far the wall clock and the uptime may drift apart before the wall clock counts as set.
/// Less is the time between reading the one and the other.
const SET_BY: SignedDuration = SignedDuration::from_millis(500);

/// Tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    uptime: Box<dyn Fn() -> SignedDuration + Send + Sync>,
    /// The time of day at uptime zero. It changes only when the wall clock is set, so that
    /// a moment is told the same each time.
    origin: Mutex<Option<Timestamp>>,
}

/// A moment by both clocks: the wall clock, which may be set, and the machine's uptime, which
/// cannot be set and which goes on while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimePoint {
    /// The time of day, by the wall clock of that moment.
    pub wall: Timestamp,
    /// The time since the machine started; negative for what was before.
    pub uptime: SignedDuration,
}

impl TimePoint {
    /// How long it is since `earlier`: the larger of what the two clocks say.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let by_wall_clock = self.wall.duration_since(earlier.wall);
        let by_uptime = self.uptime.saturating_sub(earlier.uptime);
        Duration::try_from(by_wall_clock.max(by_uptime)).unwrap_or_default()
    }

    /// When `earlier` was, by the wall clock of this moment: if the clock was set in
    /// between, `earlier.wall` is the time of a clock that was wrong.
    #[must_use]
    pub fn time_of(self, earlier: Self) -> Timestamp {
        let elapsed = self.uptime.saturating_sub(earlier.uptime);
        self.wall.checked_sub(elapsed).unwrap_or(earlier.wall)
    }

    /// The moment that was `age` before this one; this one for a negative age.
    #[must_use]
    pub fn earlier_by(self, age: SignedDuration) -> Self {
        let age = age.max(SignedDuration::ZERO);
        Self {
            wall: self.wall.checked_sub(age).unwrap_or(self.wall),
            uptime: self.uptime.saturating_sub(age),
        }
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
        Self::of(Timestamp::now, || {
            let uptime = clock_gettime(ClockId::Boottime);
            let nanos = i32::try_from(uptime.tv_nsec).unwrap_or_default();
            SignedDuration::new(uptime.tv_sec, nanos)
        })
    }

    /// A clock that says what `now` returns, on a machine whose uptime is told by tokio.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        // The same for all clocks, so that their moments can be compared.
        static START: OnceLock<Instant> = OnceLock::new();
        Self::of(now, || {
            let (start, now) = (*START.get_or_init(Instant::now), Instant::now());
            // Where time is paused and advanced, another clock may have started later.
            let after = now.saturating_duration_since(start);
            let before = start.saturating_duration_since(now);
            let [after, before] = [after, before].map(SignedDuration::try_from);
            after.unwrap_or_default() - before.unwrap_or_default()
        })
    }

    fn of(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        uptime: impl Fn() -> SignedDuration + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            now: Box::new(now),
            uptime: Box::new(uptime),
            origin: Mutex::new(None),
        }))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    /// This moment, by both clocks.
    #[must_use]
    pub fn moment(&self) -> TimePoint {
        let (uptime, wall) = ((self.0.uptime)(), self.now());
        let mut origin = self.0.origin.lock();
        let told = origin.and_then(|origin| origin.checked_add(uptime).ok());
        let told = told.filter(|told| wall.duration_since(*told).abs() < SET_BY);
        if told.is_none() {
            *origin = wall.checked_sub(uptime).ok();
        }
        TimePoint {
            wall: told.unwrap_or(wall),
            uptime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock whose time of day and uptime are set, in seconds.
    fn clock() -> (Clock, Arc<Mutex<(i64, i64)>>) {
        let times = Arc::new(Mutex::new((0, 0)));
        let (wall, uptime) = (Arc::clone(&times), Arc::clone(&times));
        let clock = Clock::of(
            move || Timestamp::from_second(wall.lock().0).unwrap(),
            move || SignedDuration::from_secs(uptime.lock().1),
        );
        (clock, times)
    }

    #[test]
    fn a_moment_is_told_by_the_clock_of_now_once_it_was_set() {
        let (clock, times) = clock();
        *times.lock() = (5, 20);
        let event = clock.moment();
        *times.lock() = (1_717_200_000, 30);
        let told = clock.moment().time_of(event);
        assert_eq!(told.as_second(), 1_717_199_990);
        *times.lock() = (5, 40);
        let told = clock.moment().time_of(event);
        assert_eq!(told.as_second(), -15, "and set back");
    }

    #[test]
    fn a_moment_is_told_the_same_each_time_though_the_clocks_are_read_one_after_the_other() {
        let reads = Mutex::new(0);
        let clock = Clock::of(
            move || {
                let mut reads = reads.lock();
                *reads += 1;
                // Up to 200 ms late.
                Timestamp::from_millisecond(1_717_200_000_000 + *reads * 7 % 200).unwrap()
            },
            || SignedDuration::from_secs(100),
        );
        let event = clock.moment();
        for _ in 0..100 {
            assert_eq!(clock.moment().time_of(event), event.wall);
        }
    }

    #[test]
    fn a_moment_goes_back_to_before_the_machine_started() {
        let (clock, times) = clock();
        *times.lock() = (1_000, 10);
        let now = clock.moment();
        let before = now.earlier_by(SignedDuration::from_secs(300));
        assert_eq!(now.time_of(before).as_second(), 700);
        assert_eq!(now.since(before), Duration::from_secs(300));
    }

    #[test]
    fn the_systems_uptime_goes_on() {
        let clock = Clock::system();
        let (first, second) = (clock.moment(), clock.moment());
        assert!(first.uptime > SignedDuration::ZERO && second.uptime >= first.uptime);
    }
}
