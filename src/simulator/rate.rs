//! The API's rate limit.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::action::Action;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts requests per account and action over the second before each.
///
/// Refused requests count as well, as the numbers in the API's own message show.
#[derive(Debug, Default)]
pub(crate) struct RateWindow {
    arrivals: HashMap<(usize, Action), VecDeque<Instant>>,
}

impl RateWindow {
    /// Counts a request that arrived at `now`; `limit` is per second.
    ///
    /// # Errors
    ///
    /// The number of requests in the window, this one included, when over the limit.
    pub(crate) fn admit(
        &mut self,
        tenant: usize,
        action: &Action,
        limit: u32,
        now: Instant,
    ) -> Result<(), usize> {
        let arrivals = self.arrivals.entry((tenant, action.clone())).or_default();
        let old = |arrival: &Instant| now.saturating_duration_since(*arrival) >= WINDOW;
        while arrivals.front().is_some_and(old) {
            arrivals.pop_front();
        }
        arrivals.push_back(now);
        let count = arrivals.len();
        match u32::try_from(count).is_ok_and(|count| count <= limit) {
            true => Ok(()),
            false => Err(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTION: Action = Action::DescribeLicenseGeneral;

    fn admit(window: &mut RateWindow, limit: u32, now: Instant) -> Result<(), usize> {
        window.admit(0, &ACTION, limit, now)
    }

    #[test]
    fn request_over_the_limit_gets_the_number_of_requests() {
        let (mut window, now) = (RateWindow::default(), Instant::now());
        let results: Vec<_> = (0..4).map(|_| admit(&mut window, 2, now)).collect();
        assert_eq!(results, [Ok(()), Ok(()), Err(3), Err(4)]);
    }

    #[test]
    fn window_slides_and_does_not_jump() {
        let (mut window, start) = (RateWindow::default(), Instant::now());
        let mut admit = |ms| admit(&mut window, 2, start + Duration::from_millis(ms));
        assert_eq!(admit(0), Ok(()));
        assert_eq!(admit(900), Ok(()));
        assert_eq!(admit(999), Err(3));
        assert_eq!(admit(1900), Ok(()));
    }

    #[test]
    fn accounts_and_actions_are_counted_separately() {
        let (mut window, now) = (RateWindow::default(), Instant::now());
        let one = 1;
        assert_eq!(window.admit(0, &ACTION, one, now), Ok(()));
        assert_eq!(window.admit(1, &ACTION, one, now), Ok(()));
        assert_eq!(window.admit(0, &Action::AssumeRole, one, now), Ok(()));
        assert_eq!(window.admit(0, &ACTION, one, now), Err(2));
    }
}
