//! What the simulated API knows and remembers.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::{Answer, Fields};
use super::rate::RateWindow;
use super::refusal::Refusal;
use super::reply::Envelope;
use super::scenario::{Account, Scenario};
use super::timeline::Timeline;
use super::verify::{self, Request};
use crate::clock::Clock;

/// How many requests are remembered one by one.
const MEMORY: usize = 65_536;

/// Shared by all connections and handles.
#[derive(Debug)]
pub(crate) struct State {
    clock: Clock,
    clock_offset: SignedDuration,
    /// Told whenever a request has arrived.
    pub(crate) arrived: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// When scenario time began, once it has.
    start: Option<Instant>,
    roles: Vec<Role>,
    rate: RateWindow,
    received: VecDeque<Received>,
    /// Request ids given out.
    serial: u64,
}

/// An account and what becomes of it.
#[derive(Debug)]
struct Role {
    account: Account,
    timeline: Timeline,
    /// Played instead of the timeline.
    played: Option<Answer>,
    /// What its last request met with: a step of the timeline, or none of them.
    seen: Option<usize>,
    /// Requests so far.
    count: usize,
}

/// A request, answered or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When its headers had arrived.
    pub at: Instant,
    /// The account whose secret id it claimed, if there is such, forged or not.
    pub account: Option<String>,
    /// Its `X-TC-Action`, known or not.
    pub action: Option<String>,
    /// `ok`, or the API error code it was refused with.
    ///
    /// `ok` says that the request was good: the scenario may still answer it with a fault.
    pub verdict: &'static str,
}

/// The scenario has no account of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario has no account `{0}`: use one of its names")]
pub struct UnknownAccount(pub(crate) String);

impl State {
    pub(crate) fn new(scenario: Scenario, clock: Clock) -> Self {
        let roles = scenario.roles.into_iter().map(|(account, timeline)| Role {
            account,
            timeline,
            played: None,
            seen: Some(0),
            count: 0,
        });
        Self {
            clock,
            clock_offset: scenario.clock_offset,
            arrived: Notify::new(),
            inner: Mutex::new(Inner {
                start: None,
                roles: roles.collect(),
                rate: RateWindow::new(scenario.rate_limit),
                received: VecDeque::new(),
                serial: 0,
            }),
        }
    }

    /// Begins scenario time.
    pub(crate) fn start(&self, now: Instant) {
        self.lock().start = Some(now);
    }

    /// The API's time of day.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.clock_offset).unwrap_or(now)
    }

    /// The date and a fresh id for an answer.
    pub(crate) fn envelope(&self) -> Envelope {
        let date = self.now();
        let mut inner = self.lock();
        inner.serial = inner.serial.wrapping_add(1);
        let seconds = date.as_second();
        Envelope {
            request_id: format!("{seconds:08x}-0000-4000-8000-{:012x}", inner.serial),
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
        request: &Request<'_>,
        at: Instant,
    ) -> Result<(Answer, Fields), Refusal> {
        let account = verify::secret_id(request.headers).and_then(|id| self.account(id));
        // Out of the lock: a large body takes time to hash.
        let authentic = verify::authenticate(request, self.now(), account.as_ref());
        let mut inner = self.lock();
        let inner = &mut *inner;
        let result = authentic.and_then(|action| {
            let secret_id = account.as_ref().map_or("", Account::secret_id);
            inner
                .rate
                .admit(secret_id, action, at)
                .map_err(|count| Refusal::rate(count, inner.rate.limit()))?;
            verify::parameters(request.body)
        });
        self.remember(inner, request, at, account.as_ref(), &result);
        result?;
        // Unknown only if there had been no account, which is refused above.
        let role = account.and_then(|account| inner.role(account.name()));
        let elapsed = |start: Instant| at.saturating_duration_since(start);
        let elapsed = inner.start.map_or(Duration::ZERO, elapsed);
        match role.and_then(|index| inner.roles.get_mut(index)) {
            Some(role) => Ok(role.answer(elapsed)),
            None => Err(Refusal::secret_id_not_found()),
        }
    }

    /// Remembers a request that is refused before it was read to its end.
    pub(crate) fn refuse(&self, request: &Request<'_>, at: Instant, refusal: &Refusal) {
        let account = verify::secret_id(request.headers).and_then(|id| self.account(id));
        let mut inner = self.lock();
        self.remember(
            &mut inner,
            request,
            at,
            account.as_ref(),
            &Err(refusal.clone()),
        );
    }

    fn remember(
        &self,
        inner: &mut Inner,
        request: &Request<'_>,
        at: Instant,
        account: Option<&Account>,
        result: &Result<(), Refusal>,
    ) {
        let received = Received {
            at,
            account: account.map(|account| account.name().to_owned()),
            action: verify::action(request.headers).map(str::to_owned),
            verdict: result
                .as_ref()
                .map_or_else(|refusal| refusal.code, |()| "ok"),
        };
        tracing::debug!(
            account = received.account,
            action = received.action,
            verdict = received.verdict,
            "request"
        );
        if let Some(role) = received
            .account
            .as_deref()
            .and_then(|name| inner.role(name))
            && let Some(role) = inner.roles.get_mut(role)
        {
            role.count = role.count.saturating_add(1);
        }
        if inner.received.len() >= MEMORY {
            inner.received.pop_front();
        }
        inner.received.push_back(received);
        self.arrived.notify_waiters();
    }

    /// The account with a secret id.
    fn account(&self, secret_id: &str) -> Option<Account> {
        let inner = self.lock();
        let mut accounts = inner.roles.iter().map(|role| &role.account);
        accounts
            .find(|account| account.secret_id() == secret_id)
            .cloned()
    }

    /// Plays `answer` for an account, or its timeline again.
    pub(crate) fn play(&self, name: &str, answer: Option<Answer>) -> Result<(), UnknownAccount> {
        self.change(name, |role| role.played = answer)
    }

    pub(crate) fn set_secret(
        &self,
        name: &str,
        secret_key: &str,
        token: Option<&str>,
    ) -> Result<(), UnknownAccount> {
        self.change(name, |role| {
            secret_key.clone_into(&mut role.account.secret_key);
            role.account.token = token.map(str::to_owned);
        })?;
        tracing::info!(account = name, "account has another secret key");
        Ok(())
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Role)) -> Result<(), UnknownAccount> {
        let mut inner = self.lock();
        let unknown = || UnknownAccount(name.to_owned());
        let index = inner.role(name).ok_or_else(unknown)?;
        change(inner.roles.get_mut(index).ok_or_else(unknown)?);
        Ok(())
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.lock().received.iter().cloned().collect()
    }

    /// How many requests an account has made; `None` if there is no such account.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        let inner = self.lock();
        let index = inner.role(name)?;
        inner.roles.get(index).map(|role| role.count)
    }

    /// No holder panics; if one did, what it left would still be whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn role(&self, name: &str) -> Option<usize> {
        self.roles
            .iter()
            .position(|role| role.account.name() == name)
    }
}

impl Role {
    /// What is answered at a time; says so in the log when it has changed.
    fn answer(&mut self, elapsed: Duration) -> (Answer, Fields) {
        let moment = self.timeline.at(elapsed);
        let (step, answer) = match &self.played {
            Some(played) => (None, played.clone()),
            None => (Some(moment.step), moment.answer.clone()),
        };
        if self.seen != step {
            let account = self.account.name();
            let answer = answer.name();
            tracing::info!(account, step, answer, "account answers otherwise now");
        }
        self.seen = step;
        (answer, moment.fields)
    }
}
