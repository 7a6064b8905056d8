//! What the simulated cloud remembers of requests.

use std::borrow::Cow;
use std::collections::VecDeque;

use tokio::time::Instant;

use super::action::Action;

/// How many requests are remembered one by one.
const MEMORY: usize = 65_536;

/// The latest requests, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<RequestEntry>,
    /// Requests to the token service so far.
    pub(crate) sts: usize,
    /// Requests to the metadata service so far.
    pub(crate) metadata: usize,
}

/// One request.
#[derive(Debug)]
pub(crate) struct RequestEntry {
    pub(crate) at: Instant,
    /// The account's place in the scenario.
    pub(crate) tenant: Option<usize>,
    pub(crate) action: Option<Cow<'static, str>>,
    pub(crate) verdict: &'static str,
}

impl RequestLog {
    pub(crate) fn push(&mut self, entry: RequestEntry) {
        if self.entries.len() >= MEMORY {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// The latest requests in the order of their verdicts.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &RequestEntry> {
        self.entries.iter()
    }
}

/// The name of an action, without a copy if it is a known one.
pub(crate) fn action_name(name: &str) -> Cow<'static, str> {
    match Action::built_in(name) {
        Some(Action::DescribeLicenseGeneral) => Cow::Borrowed("DescribeLicenseGeneral"),
        _ => Cow::Owned(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_requests_are_remembered() {
        let (mut log, at) = (RequestLog::default(), Instant::now());
        for number in 0..=MEMORY {
            log.push(RequestEntry {
                at,
                tenant: Some(number),
                action: None,
                verdict: "ok",
            });
        }
        assert_eq!(log.entries().count(), MEMORY);
        assert_eq!(log.entries().next().unwrap().tenant, Some(1));
    }
}
