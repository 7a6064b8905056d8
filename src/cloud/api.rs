//! The client of the cloud's API: a credential, the budget and retries around each
//! exchange.

#[cfg(test)]
pub(crate) mod fixture;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use crate::cloud::budget::{Budgets, Lane, Permit};
use crate::cloud::credentials::Provider;
use crate::cloud::deadline;
use crate::cloud::http::HttpSend;
use crate::cloud::{ApiAnswer, Credential, Error, Remedy, Reply, RequestTemplate};
use crate::metrics::reason::Reason;
use crate::metrics::{ActionMetrics, ExporterMetrics};
use crate::system::clock::Clock;

/// How many times one call is sent at the most.
const MAX_ATTEMPTS: u32 = 3;

/// How often a refused key may be replaced for one call: the first successor may have
/// been on its way before the refusal, and be refused for the same reason.
const MAX_RENEWALS: u32 = 2;

/// The longest pause before a second attempt. It doubles for the third.
const BACKOFF: Duration = Duration::from_millis(500);

/// What a collection waits for in the budget.
const BUDGET: &str =
    "the budget of `api.rate_limit`, or for one of the `api.max_in_flight` requests";

/// What to do if that takes too long.
const BUDGET_REMEDY: Remedy = Remedy::new(
    "raise poll.interval or the interval of the collector; or, if the quota of the account allows \
     more requests, raise api.rate_limit or api.max_in_flight",
    "调大 poll.interval 或该采集器的间隔；如果账号的配额允许，也可以调大 api.rate_limit 或 api.max_in_flight",
);

/// The shortest pause after the API said that it had too many requests.
const THROTTLED_BACKOFF: Duration = Duration::from_secs(1);

/// What to ask, and as whom.
#[derive(Clone)]
pub struct Target {
    /// The request; the same for all accounts whose requests are alike.
    pub request: Arc<RequestTemplate>,
    /// Where the key comes from.
    pub credentials: Arc<dyn Provider>,
}

impl Target {
    /// The same with other parameters, a JSON object.
    #[must_use]
    pub fn with_parameters(&self, parameters: Bytes) -> Self {
        Self {
            request: Arc::new(self.request.with_parameters(parameters)),
            ..self.clone()
        }
    }
}

/// Sends signed requests within the budget.
pub struct ApiClient {
    http: Arc<dyn HttpSend>,
    budgets: Budgets,
    clock: Clock,
    timeout: Duration,
    metrics: ExporterMetrics,
}

impl ApiClient {
    /// A client that allows each request `timeout`.
    #[must_use]
    pub fn new(
        http: Arc<dyn HttpSend>,
        budgets: Budgets,
        clock: Clock,
        timeout: Duration,
        metrics: ExporterMetrics,
    ) -> Self {
        Self {
            http,
            budgets,
            clock,
            timeout,
            metrics,
        }
    }

    /// The instruments of an action, to be handed to [`call`](Self::call).
    #[must_use]
    pub fn instruments(&self, action: &'static str) -> ActionMetrics {
        let rate_limit = self.budgets.rate_limit().share();
        self.metrics.action(action, rate_limit)
    }

    /// How many requests for `action` the target's key has sent in the last minute, for
    /// whichever account.
    #[must_use]
    pub fn spent(&self, credentials: &dyn Provider, action: &'static str) -> u32 {
        let credential = credentials.current();
        credential.map_or(0, |key| self.budgets.recent(key.quota_key(), action))
    }

    /// The answer to the target's request, after retries where the failure is transient
    /// and the `lane` prompt. No retry starts once `patience`, the interval between
    /// collections, has passed.
    ///
    /// # Errors
    ///
    /// The last attempt's failure.
    pub async fn call(
        &self,
        target: &Target,
        metrics: &ActionMetrics,
        mut lane: Lane,
        patience: Duration,
    ) -> Result<ApiAnswer, Error> {
        let started = Instant::now();
        let action = target.request.request().action;
        let mut attempt = 1;
        // Where the API hung the last time, the request is sent once, without retries.
        let attempts = match lane {
            Lane::Prompt => MAX_ATTEMPTS,
            Lane::Slow => 1,
        };
        let mut renewals = 0;
        loop {
            let credential = target.credentials.credential().await?;
            let permit = self.budgets.permit(credential.quota_key(), action, lane);
            let permit = deadline::step(BUDGET, Some(BUDGET_REMEDY), permit).await;
            metrics.wait.inc_by(permit.waited.as_secs_f64());
            let request = &target.request;
            let attempt_made = self.attempt(request, &credential, metrics, permit);
            let result = deadline::step("the API's answer", None, attempt_made).await;

            let error = match result {
                Err(error) if error.wants_another_key() && renewals < MAX_RENEWALS => {
                    target.credentials.renew(&credential).await;
                    if target.credentials.current() == Some(Arc::clone(&credential)) {
                        return Err(error);
                    }
                    renewals += 1;
                    continue;
                }
                Err(error) if error.reason.is_transient() && attempt < attempts => error,
                result => return result,
            };
            if error.reason == Reason::Timeout {
                lane = Lane::Slow;
            }
            let pause = backoff(error.reason, attempt, fastrand::f64());
            let left = deadline::left().unwrap_or(Duration::MAX);
            if started.elapsed() + pause >= patience || pause >= left {
                return Err(error);
            }
            debug!(
                action,
                attempt,
                reason = %error.reason,
                code = error.code,
                request_id = error.request_id,
                error = %error,
                retry_in = ?pause,
                "the request failed and is sent again"
            );
            deadline::step("the next attempt", None, tokio::time::sleep(pause)).await;
            attempt += 1;
        }
    }

    /// Sends `request` once.
    async fn attempt(
        &self,
        request: &RequestTemplate,
        credential: &Credential,
        metrics: &ActionMetrics,
        mut permit: Permit,
    ) -> Result<ApiAnswer, Error> {
        let now = self.clock.now();
        metrics.requests.inc();
        let sent = Instant::now();
        // A request that is given up at the collection's deadline counts too.
        let left = deadline::left().unwrap_or(Duration::MAX);
        let timeout = self.timeout.min(left);
        let reply = tokio::select! {
            reply = request.send(&*self.http, Some(credential), now, timeout) => reply,
            () = permit.overdue() => Reply::failed(Error::new(
                Reason::Timeout,
                format!("no answer within {:?}, while other requests waited", sent.elapsed()),
            )),
        };
        drop(permit);
        metrics.duration.observe(sent.elapsed().as_secs_f64());
        if let Some(skew) = reply.skew(self.clock.now()) {
            self.metrics.set_clock_skew(skew);
        }
        if let Err(error) = &reply.outcome {
            metrics.count_failure(error.reason);
        }
        reply.outcome
    }
}

/// How long to pause after failed attempt number `attempt`; `jitter` is in `0.0..1.0`.
///
/// The pause is drawn from the whole span (full jitter), so that callers that
/// failed together do not come back together.
fn backoff(reason: Reason, attempt: u32, jitter: f64) -> Duration {
    let span = 2_u32.saturating_pow(attempt.saturating_sub(1));
    match reason {
        Reason::Throttled => THROTTLED_BACKOFF + (THROTTLED_BACKOFF * span).mul_f64(jitter),
        _ => (BACKOFF * span).mul_f64(jitter),
    }
}

#[cfg(test)]
mod tests;
