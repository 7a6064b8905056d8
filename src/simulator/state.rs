//! What the simulated cloud knows and remembers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::Answer;
use super::cloud_state::{self, Asked, CloudState};
use super::headers;
use super::key::Claim;
use super::metadata;
use super::refusal::Refusal;
use super::reply::{Envelope, ReplyContent};
use super::scenario::Scenario;
use super::tenants::Tenant;
use super::verify::{self, ReceivedRequest};
use crate::system::clock::Clock;

/// Shared by all connections and handles.
#[derive(Debug)]
pub(crate) struct SimulatorState {
    clock: Clock,
    clock_offset: SignedDuration,
    /// Told whenever a request has arrived.
    pub(crate) arrived: Notify,
    /// Request ids given out.
    serial: AtomicU64,
    /// Connections accepted.
    connections: AtomicU64,
    /// The further actions that the scenario has answers to.
    scripted: HashSet<Arc<str>>,
    cloud_state: Mutex<CloudState>,
}

/// A request, answered or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When its headers had arrived.
    pub at: Instant,
    /// The account whose secret id it claimed, if there is such, forged or not.
    ///
    /// Of a request without a signature: the account for which it asks a key.
    pub account: Option<String>,
    /// Its `X-TC-Action`, known or not; of a request for instance metadata, its path.
    pub action: Option<String>,
    /// `ok`, or the API error code it was refused with; `NotFound` for instance metadata
    /// that there are not.
    ///
    /// `ok` says that the request was good: the scenario may still answer it with a fault.
    pub verdict: &'static str,
}

/// The scenario has no account of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario has no account `{0}`: use the name of one of its accounts")]
pub struct UnknownAccount(pub(crate) String);

impl SimulatorState {
    pub(crate) fn new(scenario: Scenario, clock: Clock) -> Self {
        Self {
            clock,
            clock_offset: scenario.clock_offset,
            arrived: Notify::new(),
            serial: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            scripted: scenario.scripted_actions(),
            cloud_state: Mutex::new(CloudState::new(scenario)),
        }
    }

    /// Begins scenario time.
    pub(crate) fn start(&self, now: Instant) {
        self.lock().start = Some(now);
    }

    /// Counts a connection that was accepted.
    pub(crate) fn note_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests there have been so far.
    pub(crate) fn requests(&self) -> u64 {
        self.serial.load(Ordering::Relaxed)
    }

    /// How many connections have been accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The API's time of day.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.clock_offset).unwrap_or(now)
    }

    /// The date and a fresh id for an answer.
    pub(crate) fn envelope(&self) -> Envelope {
        let date = self.now();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let seconds = date.as_second();
        Envelope {
            request_id: format!("{seconds:08x}-0000-4000-8000-{serial:012x}"),
            date,
        }
    }

    /// Decides on a request that arrived at `at` and remembers it.
    ///
    /// # Errors
    ///
    /// The refusal to answer with.
    pub(crate) fn judge(
        &self,
        request: &ReceivedRequest<'_>,
        at: Instant,
    ) -> Result<(Answer, ReplyContent), Refusal> {
        let now = self.now();
        if let Some(question) = metadata::question(request.method, request.uri) {
            let path = request.uri.path();
            return Ok(
                self.lock_and_tell(|cloud_state| cloud_state.inform(&question, path, at, now))
            );
        }
        let claim = self.claim(request, at, now);
        // Out of the lock: a large body takes time to hash and to read.
        let authentic =
            verify::authenticate(request, now, claim.as_ref(), &self.scripted).map(|action| {
                let asked = cloud_state::read(&action, request.body);
                (action, asked)
            });
        self.lock_and_tell(|cloud_state| {
            let wish = match &authentic {
                Ok((_, Ok(Asked::Role(wish)))) => Some(wish),
                _ => None,
            };
            let asked_for = wish.and_then(|wish| cloud_state.tenants.of_role(&wish.role_arn));
            let tenant = claim.as_ref().map(|claim| claim.tenant).or(asked_for);
            let result = authentic
                .and_then(|(action, asked)| cloud_state.serve(&action, asked, tenant, (at, now)));
            let refusal = result.as_ref().err();
            cloud_state.remember(request, at, claim.as_ref(), tenant, refusal);
            result
        })
    }

    /// Remembers a request that is refused before it was read to its end.
    pub(crate) fn refuse(&self, request: &ReceivedRequest<'_>, at: Instant, refusal: &Refusal) {
        let claim = self.claim(request, at, self.now());
        let tenant = claim.as_ref().map(|claim| claim.tenant);
        self.lock_and_tell(|cloud_state| {
            cloud_state.remember(request, at, claim.as_ref(), tenant, Some(refusal));
        });
    }

    /// The key whose id a request claims.
    fn claim(&self, request: &ReceivedRequest<'_>, at: Instant, now: Timestamp) -> Option<Claim> {
        let secret_id = headers::secret_id(request.headers)?;
        let cloud_state = self.lock();
        cloud_state
            .tenants
            .claim(secret_id, cloud_state.elapsed(at), now)
    }

    /// Plays `answer` for an account, or its timeline again.
    pub(crate) fn play(&self, name: &str, answer: Option<Answer>) -> Result<(), UnknownAccount> {
        self.change(name, |tenant, _| {
            tenant.player.play(answer);
            true
        })
    }

    /// Plays `answer` for the token service, or its timeline again.
    pub(crate) fn play_sts(&self, answer: Option<Answer>) {
        self.lock().sts.play(answer);
    }

    /// Plays `answer` for the metadata service, or its timeline again.
    pub(crate) fn play_metadata(&self, answer: Option<Answer>) {
        self.lock().metadata.play(answer);
    }

    pub(crate) fn set_secret(
        &self,
        name: &str,
        secret_key: &str,
        token: Option<&str>,
    ) -> Result<(), UnknownAccount> {
        self.change(name, |tenant, elapsed| {
            tenant.set_secret(secret_key, token, elapsed)
        })?;
        tracing::info!(account = name, "the account has a new secret key");
        Ok(())
    }

    pub(crate) fn set_web_identity(&self, name: &str, token: &str) -> Result<(), UnknownAccount> {
        self.change(name, |tenant, _| tenant.account.set_web_identity(token))
    }

    pub(crate) fn revoke(&self, name: &str) -> Result<(), UnknownAccount> {
        if !self.lock().tenants.revoke(name) {
            return Err(UnknownAccount(name.to_owned()));
        }
        tracing::info!(account = name, "the account's temporary keys are revoked");
        Ok(())
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Tenant, Duration) -> bool,
    ) -> Result<(), UnknownAccount> {
        let mut cloud_state = self.lock();
        let elapsed = cloud_state.elapsed(Instant::now());
        let place = cloud_state.tenants.named(name);
        let tenant = place.and_then(|place| cloud_state.tenants.get_mut(place));
        match tenant.map(|tenant| change(tenant, elapsed)) {
            Some(true) => Ok(()),
            _ => Err(UnknownAccount(name.to_owned())),
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        let cloud_state = self.lock();
        let received = cloud_state.log.entries().map(|entry| Received {
            at: entry.at,
            account: cloud_state.name(entry.tenant).map(str::to_owned),
            action: entry.action.as_deref().map(str::to_owned),
            verdict: entry.verdict,
        });
        received.collect()
    }

    /// How many requests an account has signed; `None` if there is no such account.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        self.look(name, |tenant| tenant.requests)
    }

    /// How many keys were handed out for an account; `None` if there is no such account.
    pub(crate) fn handed_out(&self, name: &str) -> Option<usize> {
        self.look(name, |tenant| tenant.handed_out)
    }

    fn look<T>(&self, name: &str, look: impl FnOnce(&Tenant) -> T) -> Option<T> {
        let cloud_state = self.lock();
        let place = cloud_state.tenants.named(name)?;
        cloud_state.tenants.get(place).map(look)
    }

    /// How many requests the token service and the metadata service have had.
    pub(crate) fn service_counts(&self) -> (usize, usize) {
        let cloud_state = self.lock();
        (cloud_state.log.sts, cloud_state.log.metadata)
    }

    /// Decides, and tells whoever waits for requests.
    fn lock_and_tell<T>(&self, decide: impl FnOnce(&mut CloudState) -> T) -> T {
        let decided = decide(&mut self.lock());
        self.arrived.notify_waiters();
        decided
    }

    /// No holder panics; if one did, what it left would still be whole.
    fn lock(&self) -> MutexGuard<'_, CloudState> {
        self.cloud_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
