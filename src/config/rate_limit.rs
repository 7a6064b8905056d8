//! How many requests may be sent.

use std::num::NonZeroU32;
use std::time::Duration;

/// The time over which the requests of one second are spread.
///
/// The API counts requests as they arrive. An eighth of a second of slack is for requests that
/// are delayed on their way: without slack, such a request could make one too many in a second
/// of the API.
const PACED_SECOND: Duration = Duration::from_millis(1125);

/// Requests a second for each credential and action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// What all replicas may send together.
    pub requests: NonZeroU32,
    /// How many replicas share it.
    pub replicas: NonZeroU32,
}

impl RateLimit {
    /// One replica's share, in requests a second.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.requests.get()) / f64::from(self.replicas.get())
    }

    /// The requests a second that one replica can send for long.
    #[must_use]
    pub fn sustained(self) -> f64 {
        self.share() / PACED_SECOND.as_secs_f64()
    }
}
