//! What the log says of failed collections: each failure once, its repetitions at the level
//! debug, and its end. Failures that come and go are logged once in ten minutes, with the
//! number of failures that were not logged. Where a collector other than the deciding one
//! fails for many accounts, such as one that their policies do not allow yet, the log names
//! ten accounts and says that there are more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Level, debug, info, warn};

use crate::cloud::Error;
use crate::metrics::reason::Reason;
use crate::system::log_limit::{self, LogLimit};

/// How long a kind of failure is not logged again that comes back after another outcome.
const SILENCE: Duration = Duration::from_secs(600);

/// How many kinds of failures have a limit of their own. Further kinds share the last limit.
const KINDS: usize = 8;

/// How many accounts are named whose collections fail for the same reason, in [`SILENCE`].
const NAMED: u32 = 10;

/// Counts the accounts that the log names, for each collector and reason.
#[derive(Debug, Default)]
pub struct SharedLimit(Mutex<HashMap<(String, Reason), NamedAccounts>>);

/// The accounts that were named since a moment.
#[derive(Debug)]
struct NamedAccounts {
    since: Instant,
    count: u32,
}

impl SharedLimit {
    /// Whether one more account may be named. Logs that there are more, once.
    fn admit(&self, collector: &str, reason: Reason) -> bool {
        let now = Instant::now();
        let fresh = || NamedAccounts {
            since: now,
            count: 0,
        };
        let mut named = self.0.lock();
        let named = named
            .entry((collector.to_owned(), reason))
            .or_insert_with(fresh);
        if now.saturating_duration_since(named.since) >= SILENCE {
            *named = fresh();
        }
        named.count = named.count.saturating_add(1);
        if named.count == NAMED + 1 {
            warn!(
                collector,
                %reason,
                "collections of more accounts fail for the same reason: the status page names all \
                 of them; the log names them at the level debug only"
            );
        }
        named.count <= NAMED
    }
}

/// Remembers what was logged of one account and collector.
#[derive(Debug, Default)]
pub struct FailureLog {
    /// What limits the lines of all accounts, if anything does.
    shared: Option<Arc<SharedLimit>>,
    /// The failure that was logged last, unless a success was logged after the failure.
    last_logged: Option<LoggedFailure>,
    /// Whether the account was named then.
    was_named: bool,
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
    /// A log with a limit that all accounts share.
    #[must_use]
    pub fn limited(shared: Arc<SharedLimit>) -> Self {
        Self {
            shared: Some(shared),
            ..Self::default()
        }
    }

    /// Logs the outcome of a collection, if the outcome is news.
    pub fn record(&mut self, account: &str, collector: &str, outcome: &Result<(), Error>) {
        let Err(error) = outcome else {
            if let Some(LoggedFailure { reason, .. }) = self.last_logged.take() {
                let failures = std::mem::take(&mut self.failures);
                let words = "collection works again";
                if self.was_named {
                    info!(account, collector, %reason, failures, "{words}");
                } else {
                    debug!(account, collector, %reason, failures, "{words}");
                }
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
                let shared = self.shared.as_ref();
                self.was_named = shared.is_none_or(|shared| shared.admit(collector, error.reason));
                let level = if self.was_named {
                    Level::WARN
                } else {
                    Level::DEBUG
                };
                log_failure(level, account, collector, error, hidden);
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
    async fn where_many_accounts_fail_for_one_reason_ten_are_named_and_told_of_again() {
        let captured = CapturedLog::start();
        let shared = Arc::<SharedLimit>::default();
        let refused = |account: usize| {
            let mut log = FailureLog::limited(Arc::clone(&shared));
            let error = Error::new(Reason::Permission, "no");
            log.record(&format!("a{account}"), "c", &Err(error));
            log
        };
        let mut logs: Vec<FailureLog> = (0..1000).map(refused).collect();
        for (account, log) in logs.iter_mut().enumerate() {
            // A failure that lasts is logged only once.
            tokio::time::advance(Duration::from_secs(1)).await;
            let account = format!("a{account}");
            log.record(&account, "c", &Err(Error::new(Reason::Permission, "no")));
            log.record(&account, "c", &Ok(()));
        }
        drop(refused(1000));
        let lines = captured.lines();
        let count = |words| lines.iter().filter(|line| line.contains(words)).count();
        assert_eq!(count("collection failed"), 11, "{lines:?}");
        assert_eq!(count("fail for the same reason"), 1);
        assert!(
            lines[10].contains("fail for the same reason"),
            "after ten accounts"
        );
        assert_eq!(count("works again"), 10);
        assert_eq!(lines.len(), 22);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_come_and_go_leave_the_limits_of_others_alone() {
        let flapping = ["A", "B"].into_iter().cycle().take(20);
        let log = log_of(flapping.chain(["C", "D"]).map(Some)).await;
        assert_eq!(log.len(), 4, "{log:?}");
        assert!(log[3].contains("code=\"D\"") && !log[3].contains("hidden"));
    }

    #[tokio::test(start_paused = true)]
    async fn ever_new_codes_are_bounded_too() {
        let codes: Vec<String> = (0..HOUR).map(|number| format!("C{number}")).collect();
        let log = log_of(codes.iter().map(|code| Some(code.as_str()))).await;
        // Each kind once, and the last ones every ten minutes.
        assert_eq!(log.len(), KINDS + 5);
    }
}
