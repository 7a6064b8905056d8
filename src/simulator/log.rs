//! The requests that a simulator has received.

use std::collections::VecDeque;

use tokio::time::Instant;

/// How many requests are kept.
const CAPACITY: usize = 65_536;

/// A request, answered or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When its headers had arrived.
    pub at: Instant,
    /// The account of the claimed secret id, if any, whether forged or not.
    ///
    /// Of a request without a signature: the account whose key it asks for.
    pub account: Option<String>,
    /// Its `X-TC-Action`, known or not; of a request for instance metadata, its path.
    pub action: Option<String>,
    /// `ok`, or the API error code that refused it; `NotFound` for instance metadata that
    /// do not exist.
    ///
    /// `ok` says that the request was good: the scenario may still answer it with a fault.
    pub verdict: &'static str,
}

/// The latest requests, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    latest: VecDeque<Received>,
    /// Requests to the token service so far.
    pub(crate) sts: usize,
    /// Requests to the metadata service so far.
    pub(crate) metadata: usize,
}

impl RequestLog {
    pub(crate) fn push(&mut self, request: Received) {
        if self.latest.len() >= CAPACITY {
            self.latest.pop_front();
        }
        self.latest.push_back(request);
    }

    /// The latest requests in the order of their verdicts.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &Received> {
        self.latest.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_requests_are_kept() {
        let (mut log, at) = (RequestLog::default(), Instant::now());
        for number in 0..=CAPACITY {
            log.push(Received {
                at,
                account: Some(number.to_string()),
                action: None,
                verdict: "ok",
            });
        }
        assert_eq!(log.latest().count(), CAPACITY);
        let oldest = log.latest().next().unwrap();
        assert_eq!(oldest.account.as_deref(), Some("1"));
    }
}
