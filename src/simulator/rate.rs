//! The API's rate limit.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts requests per secret id and action over the second before each.
///
/// Refused requests count as well, as the numbers in the API's own message show.
#[derive(Debug)]
pub(crate) struct RateWindow {
    limit: NonZeroU32,
    arrivals: HashMap<(String, String), VecDeque<Instant>>,
}

impl RateWindow {
    /// A window that admits `limit` requests per second.
    pub(crate) fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            arrivals: HashMap::new(),
        }
    }

    /// The limit, in requests per second.
    pub(crate) fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// Counts a request that arrived at `now`.
    ///
    /// # Errors
    ///
    /// The number of requests in the window, this one included, when over the limit.
    pub(crate) fn admit(
        &mut self,
        secret_id: &str,
        action: &str,
        now: Instant,
    ) -> Result<(), usize> {
        let key = (secret_id.to_owned(), action.to_owned());
        let arrivals = self.arrivals.entry(key).or_default();
        arrivals.retain(|&arrival| now.saturating_duration_since(arrival) < WINDOW);
        arrivals.push_back(now);
        let count = arrivals.len();
        match u32::try_from(count) {
            Ok(number) if number <= self.limit.get() => Ok(()),
            _ => Err(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTION: &str = "DescribeLicenseGeneral";

    fn window(limit: u32) -> RateWindow {
        RateWindow::new(NonZeroU32::new(limit).unwrap())
    }

    #[test]
    fn request_over_the_limit_is_told_how_many_there_were() {
        let (mut window, now) = (window(2), Instant::now());
        let results: Vec<_> = (0..4).map(|_| window.admit("id", ACTION, now)).collect();
        assert_eq!(results, [Ok(()), Ok(()), Err(3), Err(4)]);
    }

    #[test]
    fn window_slides_and_does_not_jump() {
        let (mut window, start) = (window(2), Instant::now());
        let mut admit = |ms| window.admit("id", ACTION, start + Duration::from_millis(ms));
        assert_eq!(admit(0), Ok(()));
        assert_eq!(admit(900), Ok(()));
        assert_eq!(admit(999), Err(3));
        assert_eq!(admit(1900), Ok(()));
    }

    #[test]
    fn secret_ids_and_actions_are_counted_apart() {
        let (mut window, now) = (window(1), Instant::now());
        assert_eq!(window.admit("a", ACTION, now), Ok(()));
        assert_eq!(window.admit("b", ACTION, now), Ok(()));
        assert_eq!(window.admit("a", "DescribeLicenseList", now), Ok(()));
        assert_eq!(window.admit("a", ACTION, now), Err(2));
    }
}
