//! The state that all connections and handles of a simulator share.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::Answer;
use super::cloud_state::{CloudState, Parameters};
use super::headers;
use super::key::Claim;
use super::metadata;
use super::refusal::Refusal;
use super::reply::{ReplyContent, ReplyEnvelope};
use super::scenario::Scenario;
use super::verify::{self, ReceivedRequest};
use crate::system::clock::Clock;

/// Decides on requests. What decisions depend on and change is behind a lock.
pub(crate) struct SimulatorState {
    clock: Clock,
    clock_offset: SignedDuration,
    /// Notified of each request.
    pub(crate) arrived: Notify,
    /// How many requests were answered or kept waiting; the latest request's id has it.
    pub(crate) requests: AtomicU64,
    /// How many connections were accepted.
    pub(crate) connections: AtomicU64,
    /// The further actions that the scenario has answers to.
    scripted: HashSet<Arc<str>>,
    cloud_state: Mutex<CloudState>,
}

impl SimulatorState {
    pub(crate) fn new(scenario: Scenario, clock: Clock) -> Self {
        Self {
            clock,
            clock_offset: scenario.clock_offset,
            arrived: Notify::new(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            scripted: scenario.scripted_actions(),
            cloud_state: Mutex::new(CloudState::new(scenario)),
        }
    }

    /// Begins scenario time.
    pub(crate) fn start(&self, now: Instant) {
        self.lock().start = Some((now, self.now()));
    }

    /// The API's time of day.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.clock_offset).unwrap_or(now)
    }

    /// The date and a fresh id for an answer.
    pub(crate) fn envelope(&self) -> ReplyEnvelope {
        let date = self.now();
        let serial = self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        let seconds = date.as_second();
        ReplyEnvelope {
            request_id: format!("{seconds:08x}-0000-4000-8000-{serial:012x}"),
            date,
        }
    }

    /// Decides on a request that arrived at `at` and records it.
    ///
    /// # Errors
    ///
    /// The refusal to answer with.
    pub(crate) fn decide(
        &self,
        request: &ReceivedRequest<'_>,
        at: Instant,
    ) -> Result<(Answer, ReplyContent), Refusal> {
        let now = self.now();
        if let Some(asked) = metadata::request(request.method, request.uri) {
            let path = request.uri.path();
            return Ok(self.lock_and_notify(|cloud| cloud.serve_metadata(&asked, path, at, now)));
        }
        let claim = self.claim(request, at, now);
        // Outside the lock: hashing and parsing a large body takes time.
        let authentic = verify::authenticate(request, now, claim.as_ref(), &self.scripted);
        let authentic = authentic.map(|action| {
            let parameters = Parameters::read(&action, request.body);
            (action, parameters)
        });
        self.lock_and_notify(|cloud| {
            let signer = claim.map(|claim| claim.tenant);
            let tenant = signer.or_else(|| match &authentic {
                Ok((_, Ok(Parameters::Role(role)))) => cloud.tenants.of_role(&role.role_arn),
                _ => None,
            });
            let result = authentic.and_then(|(action, parameters)| {
                cloud.serve(&action, parameters, tenant, (at, now))
            });
            cloud.record(request, at, signer, tenant, result.as_ref().err());
            result
        })
    }

    /// Records a request that is refused before its body was read to the end.
    pub(crate) fn refuse(
        &self,
        request: &ReceivedRequest<'_>,
        at: Instant,
        refusal: Refusal,
    ) -> Refusal {
        let claim = self.claim(request, at, self.now());
        let signer = claim.map(|claim| claim.tenant);
        self.lock_and_notify(|cloud| cloud.record(request, at, signer, signer, Some(&refusal)));
        refusal
    }

    /// The key whose id a request claims.
    fn claim(&self, request: &ReceivedRequest<'_>, at: Instant, now: Timestamp) -> Option<Claim> {
        let secret_id = headers::secret_id(request.headers)?;
        let cloud = self.lock();
        cloud.tenants.claim(secret_id, cloud.elapsed(at), now)
    }

    /// Decides, and notifies those that wait for requests.
    fn lock_and_notify<T>(&self, decide: impl FnOnce(&mut CloudState) -> T) -> T {
        let decision = decide(&mut self.lock());
        self.arrived.notify_waiters();
        decision
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, CloudState> {
        self.cloud_state.lock()
    }
}
