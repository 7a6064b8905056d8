//! What the log says of failed collections: each failure once, its repetitions at
//! debug only, and its end.

use tracing::{Level, info};

use crate::cloud::Error;
use crate::reason::Reason;

/// Remembers which failure of one account and collector was logged and is not over.
#[derive(Debug, Default)]
pub struct FailureLog {
    ongoing: Option<Ongoing>,
}

#[derive(Debug)]
struct Ongoing {
    reason: Reason,
    code: Option<String>,
    failures: u64,
}

impl FailureLog {
    /// Logs the outcome of a collection, if it is news.
    pub fn note(&mut self, account: &str, collector: &str, outcome: &Result<(), Error>) {
        let ongoing = self.ongoing.take();
        let Err(error) = outcome else {
            if let Some(Ongoing {
                reason, failures, ..
            }) = ongoing
            {
                info!(account, collector, %reason, failures, "collection works again");
            }
            return;
        };
        let is_news = ongoing
            .as_ref()
            .is_none_or(|known| known.reason != error.reason || known.code != error.code);
        let level = if is_news { Level::WARN } else { Level::DEBUG };
        log_failure(level, account, collector, error);
        self.ongoing = Some(Ongoing {
            reason: error.reason,
            code: error.code.clone(),
            failures: ongoing.map_or(0, |known| known.failures) + 1,
        });
    }
}

/// Logs that a collection failed, with all that helps to find and mend the cause.
pub fn log_failure(level: Level, account: &str, collector: &str, error: &Error) {
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
                "collection failed"
            )
        };
    }
    // The level of an event is fixed where it is written.
    match level {
        Level::ERROR => log_at!(Level::ERROR),
        Level::WARN => log_at!(Level::WARN),
        _ => log_at!(Level::DEBUG),
    }
}
