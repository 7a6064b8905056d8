//! What the log says of failed collections: each failure once, its repetitions at the level
//! debug, and its end. Failures that come and go are logged once in ten minutes, with the
//! number of failures that were not logged.

use std::time::Duration;

use tracing::{Level, info};

use crate::cloud::Error;
use crate::metrics::reason::Reason;
use crate::system::log_limit::{self, LogLimit};

/// How long a kind of failure is not logged again that comes back after another outcome.
const SILENCE: Duration = Duration::from_secs(600);

/// How many kinds of failures have a limit of their own. Further kinds share the last limit.
const KINDS: usize = 8;

/// Remembers what was logged of one account and collector.
#[derive(Debug, Default)]
pub struct FailureLog {
    /// The failure that was logged last, unless a success was logged after the failure.
    last_logged: Option<LoggedFailure>,
    /// Failures since a success was logged.
    failures: u64,
    /// The kinds of failures so far.
    limits: Vec<(LoggedFailure, LogLimit)>,
}

/// Failures with the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LoggedFailure {
    reason: Reason,
    code: Option<String>,
}

impl FailureLog {
    /// Logs the outcome of a collection, if the outcome is news.
    pub fn record(&mut self, account: &str, collector: &str, outcome: &Result<(), Error>) {
        let Err(error) = outcome else {
            if let Some(LoggedFailure { reason, .. }) = self.last_logged.take() {
                let failures = std::mem::take(&mut self.failures);
                info!(account, collector, %reason, failures, "collection works again");
            }
            return;
        };
        self.failures += 1;
        let kind = LoggedFailure {
            reason: error.reason,
            code: error.code.clone(),
        };
        let admitted = if self.last_logged.as_ref() == Some(&kind) {
            None
        } else {
            self.admit(&kind)
        };
        match admitted {
            Some(hidden) => {
                log_failure(Level::WARN, account, collector, error, hidden);
                self.last_logged = Some(kind);
            }
            None => log_failure(Level::DEBUG, account, collector, error, 0),
        }
    }

    /// How many failures of this kind were not logged before, if this failure may be logged.
    fn admit(&mut self, kind: &LoggedFailure) -> Option<u64> {
        let known = self.limits.iter().any(|(known, _)| known == kind);
        if !known && self.limits.len() < KINDS {
            self.limits.push((kind.clone(), LogLimit::new(SILENCE)));
        }
        let limit = self.limits.iter().find(|(known, _)| known == kind);
        let (_, limit) = limit.or(self.limits.last())?;
        limit.admit()
    }
}

/// Logs that a collection failed, with all that helps to find and mend the cause.
///
/// `hidden` is how many failures of its kind were not logged before.
pub fn log_failure(level: Level, account: &str, collector: &str, error: &Error, hidden: u64) {
    let hidden = log_limit::hidden(hidden);
    macro_rules! log_at {
        ($level:expr) => {
            tracing::event!(
                $level,
                account,
                collector,
                reason = %error.reason,
                code = error.code,
                request_id = error.request_id,
                error = %error,
                remedy = error.remedy(),
                hidden,
                "collection failed"
            )
        };
    }
    // The macro takes a constant level only.
    match level {
        Level::ERROR => log_at!(Level::ERROR),
        Level::WARN => log_at!(Level::WARN),
        _ => log_at!(Level::DEBUG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::logging::fixture::CapturedLog;

    /// The lines above debug that the log has of one outcome a second, an error's code or
    /// none for a success, without what is the same in all of them.
    async fn log_of<'a>(codes: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
        let captured = CapturedLog::start();
        let mut log = FailureLog::default();
        for code in codes {
            let outcome = match code {
                None => Ok(()),
                Some(code) => Err(Error {
                    code: Some(code.to_owned()),
                    ..Error::new(Reason::Server, "scripted")
                }),
            };
            log.record("a", "c", &outcome);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        captured.lines()
    }

    const HOUR: usize = 3600;

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_lasts_is_told_once_and_so_is_its_end() {
        let codes = std::iter::repeat_n(Some("A"), HOUR).chain([None, None]);
        let log = log_of(codes).await;
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(log[0].contains("collection failed") && !log[0].contains("hidden"));
        assert!(log[1].contains("works again") && log[1].contains("failures=3600"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_and_a_to_and_fro_only_every_ten_minutes_with_a_count() {
        let codes = ["A", "B"].map(Some).into_iter().cycle().take(HOUR);
        let log = log_of(codes).await;
        assert!(log[0].contains("code=\"A\"") && log[1].contains("code=\"B\""));
        assert!((10..=14).contains(&log.len()), "{}", log.len());
        assert!(log[2].contains("hidden=299"), "{}", log[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_come_and_go_are_told_every_ten_minutes_and_end_with_the_truth() {
        let codes = [Some("A"), None].into_iter().cycle().take(HOUR);
        let log = log_of(codes).await;
        assert!((10..=14).contains(&log.len()), "{}", log.len());
        assert!(log.last().unwrap().contains("works again"));

        let flapping = [Some("A"), None].into_iter().cycle().take(100);
        let then_failing = std::iter::repeat_n(Some("A"), HOUR);
        let log = log_of(flapping.chain(then_failing)).await;
        assert!(log.last().unwrap().contains("collection failed"));
        assert_eq!(log.len(), 3, "{log:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_codes_are_bounded_too() {
        let codes: Vec<String> = (0..HOUR).map(|number| format!("C{number}")).collect();
        let log = log_of(codes.iter().map(|code| Some(code.as_str()))).await;
        assert!(log.len() <= KINDS + 6, "{}", log.len());
    }
}
