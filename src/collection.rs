//! One collection: ask the API, understand the answer, replace the snapshot, and
//! say in the log what an operator needs to know.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::{Level, debug, info};

use crate::api::{ApiClient, Error, Target};
use crate::clock::Clock;
use crate::collector::Parsed;
use crate::metrics::ActionMetrics;
use crate::reason::Reason;
use crate::snapshot::{AccountState, Attempt, CollectorState, Slot, Success};

/// Collects one account with one collector, over and over.
pub struct Collection {
    api: Arc<ApiClient>,
    target: Target,
    account: Arc<AccountState>,
    slot: Arc<Slot>,
    instruments: ActionMetrics,
    clock: Clock,
    /// The failure that was logged last and is not over.
    ongoing: Option<Ongoing>,
}

/// A failure that goes on.
struct Ongoing {
    reason: Reason,
    code: Option<String>,
    times: u64,
}

impl Collection {
    /// The collection that fills `slot` of `account`.
    #[must_use]
    pub fn new(
        api: Arc<ApiClient>,
        target: Target,
        account: Arc<AccountState>,
        slot: Arc<Slot>,
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
            ongoing: None,
        }
    }

    /// The configured name of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account.name
    }

    /// The action that is asked.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.slot.collector().request().action
    }

    /// Collects once. The snapshot is replaced and the log written either way.
    ///
    /// # Errors
    ///
    /// Why the collection failed; a panic on the way counts as a failure.
    pub async fn run(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let outcome = AssertUnwindSafe(self.ask())
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    Reason::Response,
                    "the answer made the exporter panic; please report this",
                ))
            });

        let before = self.slot.load();
        let mut after = CollectorState::clone(&before);
        let at = self.clock.now();
        let result = match outcome {
            Ok((parsed, request_id)) => {
                after.drift = parsed.drift.into();
                if parsed.recognized {
                    after.last_success = Some(Success {
                        at,
                        instant: Instant::now(),
                        samples: parsed.samples.into(),
                    });
                    Ok(())
                } else {
                    Err(Error {
                        request_id,
                        ..Error::new(
                            Reason::Response,
                            "the answer has no documented field with a valid value",
                        )
                    })
                }
            }
            Err(error) => Err(error),
        };
        after.failures += u64::from(result.is_err());
        after.last_attempt = Some(Attempt {
            at,
            duration: started.elapsed(),
            failure: result.clone().err(),
        });
        self.slot.store(after);
        self.log(&result);
        result
    }

    async fn ask(&self) -> Result<(Parsed, Option<String>), Error> {
        let collector = self.slot.collector();
        let answer = self
            .api
            .call(&self.target, collector.request(), &self.instruments)
            .await?;
        debug!(
            account = self.account(),
            collector = collector.name(),
            request_id = answer.request_id,
            "collected"
        );
        Ok((collector.parse(&answer.fields), answer.request_id))
    }

    /// Logs a failure once at warn and its repetitions at debug, and the end of it.
    fn log(&mut self, result: &Result<(), Error>) {
        let collector = self.slot.collector().name();
        let Err(error) = result else {
            if let Some(ongoing) = self.ongoing.take() {
                info!(
                    account = self.account(),
                    collector,
                    reason = %ongoing.reason,
                    failures = ongoing.times,
                    "collection works again"
                );
            }
            return;
        };
        macro_rules! failed {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    account = self.account(),
                    collector,
                    reason = %error.reason,
                    code = error.code,
                    request_id = error.request_id,
                    error = %error,
                    remedy = error.reason.remedy(),
                    "collection failed"
                )
            };
        }
        match &mut self.ongoing {
            Some(ongoing) if ongoing.reason == error.reason && ongoing.code == error.code => {
                ongoing.times += 1;
                failed!(Level::DEBUG);
            }
            ongoing => {
                let times = ongoing.as_ref().map_or(0, |ongoing| ongoing.times) + 1;
                *ongoing = Some(Ongoing {
                    reason: error.reason,
                    code: error.code.clone(),
                    times,
                });
                failed!(Level::WARN);
            }
        }
    }
}
