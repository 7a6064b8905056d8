//! The accounts of the simulated cloud, and the accounts that keys belong to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::answer::Answer;
use super::key::{Claim, KeyStatus, SimulatedKey};
use super::response_script::ResponseScript;
use super::scenario::{ScenarioAccount, SimulatedAccount};
use super::temporary::{IssuedKey, TemporaryKeys};

/// All accounts, each at its index in the scenario.
#[derive(Debug)]
pub(crate) struct Tenants {
    list: Vec<Tenant>,
    by_name: HashMap<String, usize>,
    /// Of permanent keys, those of other times included.
    by_secret_id: HashMap<String, usize>,
    by_role_arn: HashMap<String, usize>,
    temporary: TemporaryKeys,
}

/// An account, its script and its keys.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) account: SimulatedAccount,
    /// The licences.
    pub(crate) script: ResponseScript,
    /// The answers to further actions of CWP, by their names.
    pub(crate) further: BTreeMap<Arc<str>, ResponseScript>,
    /// Its own keys, each with the scenario time from which on it is in force.
    keys: Vec<(Duration, Arc<SimulatedKey>)>,
    /// Its own key at all times, once a handle has set a key.
    set: Option<Arc<SimulatedKey>>,
    /// The serial of the latest temporary key that a handle has revoked.
    revoked: u64,
    /// Requests signed with its keys so far.
    pub(crate) requests: usize,
    /// Keys of its role that were issued so far.
    pub(crate) issued: usize,
}

impl Tenants {
    pub(crate) fn new(accounts: Vec<ScenarioAccount>) -> Self {
        let mut tenants = Self {
            list: Vec::with_capacity(accounts.len()),
            by_name: HashMap::with_capacity(accounts.len()),
            by_secret_id: HashMap::with_capacity(accounts.len()),
            by_role_arn: HashMap::new(),
            temporary: TemporaryKeys::new(fastrand::u64(..)),
        };
        for account in accounts {
            let (index, tenant) = (tenants.list.len(), Tenant::new(account));
            let name = tenant.account.name().to_owned();
            tenants.by_name.insert(name, index);
            for (_, key) in &tenant.keys {
                tenants.by_secret_id.insert(key.secret_id.clone(), index);
            }
            if let Some(arn) = tenant.account.role_arn() {
                tenants.by_role_arn.insert(arn.to_owned(), index);
            }
            tenants.list.push(tenant);
        }
        tenants
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Tenant> {
        self.list.get(*self.by_name.get(name)?)
    }

    pub(crate) fn named_mut(&mut self, name: &str) -> Option<&mut Tenant> {
        self.list.get_mut(*self.by_name.get(name)?)
    }

    /// The account that a role belongs to.
    pub(crate) fn of_role(&self, arn: &str) -> Option<usize> {
        self.by_role_arn.get(arn).copied()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Tenant> {
        self.list.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Tenant> {
        self.list.get_mut(index)
    }

    /// The key of an id, `elapsed` after the scenario's beginning.
    pub(crate) fn claim(
        &self,
        secret_id: &str,
        elapsed: Duration,
        now: Timestamp,
    ) -> Option<Claim> {
        let (index, key, status) = match self.by_secret_id.get(secret_id) {
            Some(index) => {
                let key = self.list.get(*index)?.key(elapsed)?;
                (*index, key, KeyStatus::Good)
            }
            None => {
                let temporary = self.temporary.get(secret_id)?;
                let status = self.status(temporary, elapsed, now);
                (temporary.tenant, &temporary.key, status)
            }
        };
        if key.secret_id != secret_id {
            return None;
        }
        Some(Claim {
            tenant: index,
            key: Arc::clone(key),
            status,
            permissions: self.list.get(index)?.account.permissions.clone(),
        })
    }

    /// Whether a temporary key is accepted now.
    pub(crate) fn status(
        &self,
        temporary: &IssuedKey,
        elapsed: Duration,
        now: Timestamp,
    ) -> KeyStatus {
        let is_revoked = |tenant: &Tenant| {
            let revoked = tenant.script.timeline.revoked(elapsed);
            temporary.serial <= tenant.revoked || revoked.is_some_and(|at| temporary.issued_at < at)
        };
        if temporary.is_expired(now) {
            KeyStatus::Expired
        } else if self.list.get(temporary.tenant).is_some_and(is_revoked) {
            KeyStatus::Revoked
        } else {
            KeyStatus::Good
        }
    }

    /// Issues a temporary key of an account.
    pub(crate) fn issue(
        &mut self,
        index: usize,
        elapsed: Duration,
        now: Timestamp,
        lifetime: Duration,
    ) -> IssuedKey {
        if let Some(tenant) = self.list.get_mut(index) {
            tenant.issued = tenant.issued.saturating_add(1);
        }
        self.temporary.issue(index, elapsed, now, lifetime)
    }

    /// Revokes all temporary keys of an account; false if there is no such account.
    pub(crate) fn revoke(&mut self, name: &str) -> bool {
        let latest = self.temporary.latest();
        let tenant = self.named_mut(name);
        tenant.map(|tenant| tenant.revoked = latest).is_some()
    }
}

impl Tenant {
    fn new(account: ScenarioAccount) -> Self {
        let own = account.account.key();
        let keys = own.map(|key| (Duration::ZERO, key)).into_iter();
        let keys = keys.chain(account.rotations);
        let further = account.further.iter();
        let further = further.map(|(action, timeline)| {
            (
                Arc::clone(action),
                ResponseScript::new(Arc::clone(timeline)),
            )
        });
        Self {
            keys: keys.map(|(at, key)| (at, Arc::new(key))).collect(),
            account: account.account,
            script: ResponseScript::new(account.timeline),
            further: further.collect(),
            set: None,
            revoked: 0,
            requests: 0,
            issued: 0,
        }
    }

    /// Answers requests of all actions of CWP with `answer`, or by the timelines again.
    /// Fields are those of the licences.
    pub(crate) fn play(&mut self, answer: Option<&Answer>) {
        self.script.play(answer.cloned());
        let answer = answer.filter(|answer| !matches!(answer, Answer::Fields(_)));
        for script in self.further.values_mut() {
            script.play(answer.cloned());
        }
    }

    /// Its own key, `elapsed` after the scenario's beginning.
    pub(crate) fn key(&self, elapsed: Duration) -> Option<&Arc<SimulatedKey>> {
        let time = self.script.timeline.time(elapsed);
        let in_force = || self.keys.iter().rev().find(|(at, _)| *at <= time);
        self.set.as_ref().or_else(|| Some(&in_force()?.1))
    }

    /// Gives its own key another secret from `elapsed` on; false if it has none.
    pub(crate) fn set_secret(
        &mut self,
        secret_key: &str,
        token: Option<&str>,
        elapsed: Duration,
    ) -> bool {
        let key = self.key(elapsed).map(|key| SimulatedKey {
            secret_id: key.secret_id.clone(),
            secret_key: secret_key.to_owned(),
            token: token.map(str::to_owned),
        });
        self.set = key.map(Arc::new).or_else(|| self.set.take());
        self.set.is_some()
    }
}
