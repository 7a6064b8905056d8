//! Control and observation of a running simulator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::cloud_state::CloudState;
use super::log::Received;
use super::state::SimulatorState;
use super::tenants::Tenant;

/// Controls a [`Simulator`](super::Simulator) and shows what it has received.
#[derive(Clone)]
pub struct Handle {
    pub(crate) state: Arc<SimulatorState>,
}

/// The scenario has no account of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario has no account `{0}`: use the name of one of its accounts")]
pub struct UnknownAccount(String);

impl Handle {
    /// Answers an account's good requests with `answer`, whatever its timeline says and
    /// whatever the action, until [`resume`](Self::resume). [`Answer::Fields`] are answered
    /// to `DescribeLicenseGeneral` only.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn play(&self, account: &str, answer: Answer) -> Result<(), UnknownAccount> {
        self.change(account, |tenant, _| {
            tenant.play(Some(&answer));
            true
        })
    }

    /// The same of one action of CWP. A list is not divided into pages.
    ///
    /// # Errors
    ///
    /// There is no such account, or it has no answers to this action.
    pub fn play_action(
        &self,
        account: &str,
        action: &str,
        answer: Answer,
    ) -> Result<(), UnknownAccount> {
        self.change(account, |tenant, _| {
            let script = tenant.further.get_mut(action);
            script.map(|script| script.play(Some(answer))).is_some()
        })
    }

    /// Returns an account to its timeline, which has gone on in the meantime.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn resume(&self, account: &str) -> Result<(), UnknownAccount> {
        self.change(account, |tenant, _| {
            tenant.play(None);
            true
        })
    }

    /// Answers good requests to the token service with `answer`, whatever its timeline
    /// says, or by the timeline again. A fault issues no key.
    pub fn play_sts(&self, answer: Option<Answer>) {
        self.state.lock().sts.play(answer);
    }

    /// The same of requests for instance metadata.
    pub fn play_metadata(&self, answer: Option<Answer>) {
        self.state.lock().metadata.play(answer);
    }

    /// Revokes all temporary keys that an account's role has had so far; new ones work.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn revoke(&self, account: &str) -> Result<(), UnknownAccount> {
        if !self.state.lock().tenants.revoke(account) {
            return Err(UnknownAccount(account.to_owned()));
        }
        tracing::info!(account, "the account's temporary keys are revoked");
        Ok(())
    }

    /// Trusts this token of an account's identity provider instead of the previous one.
    ///
    /// # Errors
    ///
    /// There is no such account, or it has no `web_identity`.
    pub fn set_web_identity(&self, account: &str, token: &str) -> Result<(), UnknownAccount> {
        self.change(account, |tenant, _| tenant.account.set_web_identity(token))
    }

    /// How many temporary keys were issued for an account; 0 for one that does not exist.
    #[must_use]
    pub fn issued_keys(&self, account: &str) -> usize {
        let cloud = self.state.lock();
        let tenant = cloud.tenants.named(account);
        tenant.map_or(0, |tenant| tenant.issued)
    }

    /// Gives an account's own key another secret, temporary if there is a token, from
    /// now on and whatever its timeline says.
    ///
    /// # Errors
    ///
    /// There is no such account, or it has no key of its own.
    pub fn set_secret(
        &self,
        account: &str,
        secret_key: &str,
        token: Option<&str>,
    ) -> Result<(), UnknownAccount> {
        self.change(account, |tenant, elapsed| {
            tenant.set_secret(secret_key, token, elapsed)
        })?;
        tracing::info!(account, "the account has a new secret key");
        Ok(())
    }

    /// Every request so far, in the order of their verdicts; the latest 65,536 of them.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().log.latest().cloned().collect()
    }

    /// How many requests have been answered so far, or kept waiting.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// How many connections have been accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits until an account has signed `count` requests in all, refused ones included.
    ///
    /// Returns at once for an account that does not exist.
    pub async fn wait_for(&self, account: &str, count: usize) {
        self.wait(|cloud| {
            let tenant = cloud.tenants.named(account);
            tenant.is_none_or(|tenant| tenant.requests >= count)
        })
        .await;
    }

    /// Waits until the token service has had `count` requests in all.
    pub async fn wait_for_sts(&self, count: usize) {
        self.wait(|cloud| cloud.log.sts >= count).await;
    }

    /// Waits until the metadata service has had `count` requests in all.
    pub async fn wait_for_metadata(&self, count: usize) {
        self.wait(|cloud| cloud.log.metadata >= count).await;
    }

    async fn wait(&self, is_over: impl Fn(&CloudState) -> bool) {
        loop {
            let mut arrived = std::pin::pin!(self.state.arrived.notified());
            arrived.as_mut().enable();
            if is_over(&self.state.lock()) {
                return;
            }
            arrived.await;
        }
    }

    /// Changes an account at the scenario time of now; `change` returns false if the account
    /// lacks what it changes.
    fn change(
        &self,
        account: &str,
        change: impl FnOnce(&mut Tenant, Duration) -> bool,
    ) -> Result<(), UnknownAccount> {
        let mut cloud = self.state.lock();
        let elapsed = cloud.elapsed(Instant::now());
        let tenant = cloud.tenants.named_mut(account);
        match tenant.is_some_and(|tenant| change(tenant, elapsed)) {
            true => Ok(()),
            false => Err(UnknownAccount(account.to_owned())),
        }
    }
}
