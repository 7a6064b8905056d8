//! What the service manager, systemd, is told: readiness, reloads, the end, and that the
//! process is alive, for as long as the scheduler is.
//!
//! Where there is none, which is where `NOTIFY_SOCKET` is not set, nothing is sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::collection::scheduler::Liveness;
use crate::collection::snapshot::{Accounts, Store};

/// How often the status is told, unless the watchdog wants a sign of life more often.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Tells that the process serves, for the first time or again after a reload.
pub fn ready() {
    complain(sd_notify::notify(&[NotifyState::Ready]));
}

/// Tells that a reload begins; [`ready`] ends it, well or badly.
pub fn reloading() {
    // Newer versions want to know when, to tell this reload from the one before.
    let begun = NotifyState::monotonic_usec_now()
        .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]));
    complain(begun);
}

/// Tells that the process is about to end.
pub fn stopping() {
    complain(sd_notify::notify(&[NotifyState::Stopping]));
}

/// Tells for ever how the accounts of `store` are and, if there is a watchdog, that the
/// process is alive. A watchdog that hears nothing has the process killed and restarted.
pub async fn keep_informed(liveness: Liveness, store: Arc<Store>) {
    // Twice as often as the watchdog demands, as its manual page recommends.
    let sign_of_life = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let every = sign_of_life.map_or(STATUS_EVERY, |every| every.min(STATUS_EVERY));
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        ticks.tick().await;
        let status = status(&store.load());
        let told = sd_notify::notify(&message(&liveness, sign_of_life.is_some(), &status));
        if !complained {
            complained = told.is_err();
            complain(told);
        }
    }
}

fn complain(told: io::Result<()>) {
    if let Err(error) = told {
        warn!(%error, "cannot notify the service manager at NOTIFY_SOCKET; with WatchdogSec= the service manager restarts the exporter");
    }
}

fn message<'a>(liveness: &Liveness, watchdog: bool, status: &'a str) -> Vec<NotifyState<'a>> {
    let mut message = vec![NotifyState::Status(status)];
    if watchdog && liveness.is_alive() {
        message.push(NotifyState::Watchdog);
    }
    message
}

/// What `systemctl status` shows.
fn status(accounts: &Accounts) -> String {
    let slots = || accounts.list().iter().flat_map(|account| &account.slots);
    let count = |wanted| {
        let slots = slots().filter(move |slot| slot.load().succeeded() == wanted);
        slots.count()
    };
    format!(
        "accounts: {}; last collections: {} succeeded, {} failed, {} to come",
        accounts.list().len(),
        count(Some(true)),
        count(Some(false)),
        count(None),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::scheduler::Scheduler;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_nothing_once_the_scheduler_has_stopped() {
        let scheduler = Scheduler::new(0.0);
        let liveness = scheduler.liveness();
        let words = |watchdog| {
            let message = message(&liveness, watchdog, "text");
            let words: Vec<String> = message.iter().map(ToString::to_string).collect();
            words.join(" ")
        };
        assert_eq!(words(true), "STATUS=text WATCHDOG=1");
        assert_eq!(words(false), "STATUS=text");
        scheduler.stop().await;
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(words(true), "STATUS=text");
    }
}
