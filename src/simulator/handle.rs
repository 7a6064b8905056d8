//! Steering and observing a running simulator.

use std::sync::Arc;

use super::answer::Answer;
use super::state::{Received, SimulatorState, UnknownAccount};

/// Steers a [`Simulator`](super::Simulator) and tells what it has received.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) state: Arc<SimulatorState>,
}

impl Handle {
    /// Answers an account's good requests with `answer`, whatever its timeline says,
    /// until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn play(&self, account: &str, answer: Answer) -> Result<(), UnknownAccount> {
        self.state.play(account, Some(answer))
    }

    /// Returns an account to its timeline, which has gone on in the meantime.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn resume(&self, account: &str) -> Result<(), UnknownAccount> {
        self.state.play(account, None)
    }

    /// Answers good requests to the token service with `answer`, whatever its timeline
    /// says, until [`resume_sts`](Self::resume_sts). A fault hands out no key.
    pub fn play_sts(&self, answer: Answer) {
        self.state.play_sts(Some(answer));
    }

    /// Returns the token service to its timeline.
    pub fn resume_sts(&self) {
        self.state.play_sts(None);
    }

    /// Answers requests for instance metadata with `answer`, whatever its timeline
    /// says, until [`resume_metadata`](Self::resume_metadata). A fault hands out no key.
    pub fn play_metadata(&self, answer: Answer) {
        self.state.play_metadata(Some(answer));
    }

    /// Returns the metadata service to its timeline.
    pub fn resume_metadata(&self) {
        self.state.play_metadata(None);
    }

    /// Revokes all temporary keys that an account's role has had so far; new ones work.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn revoke(&self, account: &str) -> Result<(), UnknownAccount> {
        self.state.revoke(account)
    }

    /// Trusts this token of an account's identity provider instead of the one before.
    ///
    /// # Errors
    ///
    /// There is no such account, or it has no `web_identity`.
    pub fn set_web_identity(&self, account: &str, token: &str) -> Result<(), UnknownAccount> {
        self.state.set_web_identity(account, token)
    }

    /// How many temporary keys have been handed out for an account; 0 for one that does
    /// not exist.
    #[must_use]
    pub fn handed_out(&self, account: &str) -> usize {
        self.state.handed_out(account).unwrap_or_default()
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
        self.state.set_secret(account, secret_key, token)
    }

    /// Every request so far, in the order of their verdicts; the latest 65,536 of them.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// How many requests have been answered so far, or kept waiting.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests()
    }

    /// How many connections have been accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections()
    }

    /// Waits until an account has signed `count` requests in all, refused ones included.
    ///
    /// Returns at once for an account that does not exist.
    pub async fn wait_for(&self, account: &str, count: usize) {
        self.wait(|state| state.count(account).is_none_or(|so_far| so_far >= count))
            .await;
    }

    /// Waits until the token service has had `count` requests in all.
    pub async fn wait_for_sts(&self, count: usize) {
        self.wait(|state| state.service_counts().0 >= count).await;
    }

    /// Waits until the metadata service has had `count` requests in all.
    pub async fn wait_for_metadata(&self, count: usize) {
        self.wait(|state| state.service_counts().1 >= count).await;
    }

    async fn wait(&self, is_over: impl Fn(&SimulatorState) -> bool) {
        loop {
            let mut arrived = std::pin::pin!(self.state.arrived.notified());
            arrived.as_mut().enable();
            if is_over(&self.state) {
                return;
            }
            arrived.await;
        }
    }
}
