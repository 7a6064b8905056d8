//! One collection: call the API, read the answers, replace the slot's state.

pub mod failure_log;
pub mod fleet;
pub mod load;
pub mod scheduler;
pub mod snapshot;
pub mod state_dir;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::cloud::api::{ApiClient, Target};
use crate::cloud::budget::Lane;
use crate::cloud::deadline;
use crate::cloud::{Error, Remedy};
use crate::collection::snapshot::{Attempt, CollectorState, Slot, Success, TaskState};
use crate::collectors::{self, Collected, switch_off};
use crate::metrics::ActionMetrics;
use crate::metrics::reason::Reason;
use crate::system::clock::{Clock, TimePoint};
use crate::system::log_limit::{self, LogLimit};

/// Collects one account with one collector, over and over.
pub struct Collection {
    api: Arc<ApiClient>,
    target: Target,
    account: String,
    slot: Slot,
    instruments: ActionMetrics,
    clock: Clock,
    credential_log: LogLimit,
}

/// How often the log tells that the key of the same account could not be renewed.
const CREDENTIAL_LOG: Duration = Duration::from_secs(600);

impl Collection {
    /// The collection that fills `slot` of the account with the name `account`.
    #[must_use]
    pub fn new(
        api: Arc<ApiClient>,
        target: Target,
        account: String,
        slot: Slot,
        instruments: ActionMetrics,
        clock: Clock,
    ) -> Self {
        Self {
            api,
            target,
            account,
            slot,
            instruments,
            clock,
            credential_log: LogLimit::new(CREDENTIAL_LOG),
        }
    }

    /// The configured name of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The slot that this collection fills.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The name of the collector.
    #[must_use]
    pub fn collector(&self) -> &'static str {
        self.slot.collector().name()
    }

    /// Tells when the next collection is due.
    pub fn set_due(&self, at: Instant) {
        self.slot.set_task_state(TaskState::WaitsUntil(at));
    }

    /// Collects once, and replaces the slot's state after a failure too.
    ///
    /// # Errors
    ///
    /// Why the collection failed; a panic on the way counts as a failure.
    pub async fn run(&self) -> Result<(), Error> {
        self.run_within(self.slot.schedule().deadline).await
    }

    /// Collects once, within `deadline` instead of the usual one.
    ///
    /// # Errors
    ///
    /// See [`run`](Self::run).
    pub async fn run_within(&self, deadline: Duration) -> Result<(), Error> {
        let started = Instant::now();
        self.slot.set_task_state(TaskState::CollectsSince(started));
        let outcome = AssertUnwindSafe(deadline::within(deadline, self.ask()))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    Reason::Response,
                    "the exporter panicked while it read the answer; please report this",
                ))
            });

        self.log_credential_failure();
        let before = self.slot.load();
        let mut after = CollectorState::clone(&before);
        let now = self.clock.moment();
        let result = match outcome {
            Ok((mut collected, request_id)) => {
                after.drift = std::mem::take(&mut collected.drift).into();
                if collected.recognized {
                    after.restored = false;
                    after.last_success = Some(self.success(collected, now));
                    Ok(())
                } else {
                    let message = "the answer has no documented field with a valid value";
                    Err(Error::new(Reason::Response, message).with_request_id(request_id))
                }
            }
            Err(error) => Err(self.with_remedy(error)),
        };
        after.failures += u64::from(result.is_err());
        after.last_attempt = Some(Attempt {
            at: now,
            duration: started.elapsed(),
            failure: result.clone().err().map(Box::new),
        });
        self.slot.store(after);
        result
    }

    /// Logs that the key could not be renewed, which does not make the collection fail.
    fn log_credential_failure(&self) {
        if let Some(error) = self.target.credentials.take_notice()
            && let Some(hidden) = self.credential_log.admit()
        {
            warn!(
                account = self.account(),
                source = self.target.credentials.source(),
                %error,
                remedy = error.remedy(),
                hidden = log_limit::hidden(hidden),
                "cannot read or renew the account's key: the previous key stays in use"
            );
        }
    }

    /// The error of a collector that is not allowed and could be switched off says so.
    fn with_remedy(&self, error: Error) -> Error {
        if self.slot.decides() || error.reason != Reason::Permission || error.remedy.is_some() {
            return error;
        }
        let remedy = Remedy::from(error.reason).or(&switch_off(self.collector()));
        error.with_remedy(remedy)
    }

    /// What was collected, with no more rows than may be shown.
    fn success(&self, collected: Collected, now: TimePoint) -> Success {
        let max_rows = self.slot.schedule().max_rows;
        let requests = collected.requests;
        let (samples, hidden) = collected.into_samples(max_rows.unwrap_or(usize::MAX));
        let rows_hidden = max_rows.map(|_| hidden);
        let before = self.slot.load();
        let before = before.last_success.as_ref();
        if hidden > 0 && before.is_none_or(|before| before.rows_hidden != rows_hidden) {
            warn!(
                account = self.account(),
                collector = self.collector(),
                max_rows,
                hidden,
                "not all rows of the list are shown; raise max_rows of this collector to see more"
            );
        }
        Success {
            at: now,
            samples: samples.into(),
            rows_hidden,
            requests,
        }
    }

    async fn ask(&self) -> Result<(Collected, Option<String>), Error> {
        let collector = self.slot.collector();
        let state = self.slot.load();
        let last = state.last_attempt.as_ref();
        let pace = match last.and_then(|last| last.failure.as_ref()) {
            Some(failure) if failure.reason == Reason::Timeout => Lane::Slow,
            _ => Lane::Prompt,
        };
        let schedule = self.slot.schedule();
        let ask = |parameters| async move {
            let target = match parameters {
                None => &self.target,
                Some(parameters) => &self.target.with_parameters(parameters),
            };
            let (metrics, patience) = (&self.instruments, schedule.interval);
            let answer = self.api.call(target, metrics, pace, patience).await?;
            deadline::extend(schedule.deadline);
            Ok(answer)
        };
        let (collected, request_id) = collectors::collect(collector, ask).await?;
        debug!(
            account = self.account(),
            collector = self.collector(),
            request_id,
            "collected"
        );
        Ok((collected, request_id))
    }
}

#[cfg(test)]
mod tests;
