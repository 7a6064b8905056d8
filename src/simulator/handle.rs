//! Steering and observing a running simulator.

use std::sync::Arc;

use super::answer::Answer;
use super::state::{Received, State, UnknownAccount};

/// Steers a [`Simulator`](super::Simulator) and tells what it has received.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) state: Arc<State>,
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

    /// Gives an account another secret key, temporary if there is a token.
    ///
    /// # Errors
    ///
    /// There is no such account.
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

    /// Waits until an account has made `count` requests in all, refused ones included.
    ///
    /// Returns at once for an account that does not exist.
    pub async fn wait_for(&self, account: &str, count: usize) {
        loop {
            let mut arrived = std::pin::pin!(self.state.arrived.notified());
            arrived.as_mut().enable();
            if self
                .state
                .count(account)
                .is_none_or(|so_far| so_far >= count)
            {
                return;
            }
            arrived.await;
        }
    }
}
