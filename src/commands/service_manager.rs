//! Notifications of the service manager, systemd: readiness, reloads, the end, and the watchdog
//! for as long as the scheduler is alive.
//!
//! Nothing is sent where `NOTIFY_SOCKET` is not set.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::collection::scheduler::Liveness;
use crate::collection::snapshot::{Accounts, Store};

/// The interval of status notifications, unless the watchdog's is shorter.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Notifies that the process serves, for the first time or again after a reload.
pub fn ready() {
    log_failure(sd_notify::notify(&[NotifyState::Ready]));
}

/// Notifies that a reload begins; [`ready`] ends the reload, also a failed one.
pub fn reloading() {
    // Newer versions distinguish reloads by the time.
    let begun = NotifyState::monotonic_usec_now()
        .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]));
    log_failure(begun);
}

/// Notifies that the process is about to end.
pub fn stopping() {
    log_failure(sd_notify::notify(&[NotifyState::Stopping]));
}

/// Notifies for ever of the state of the accounts in `store` and, if there is a watchdog, that
/// the process is alive. Without that, the service manager restarts the process.
pub async fn keep_notified(liveness: Liveness, store: Arc<Store>) {
    // Twice as often as the watchdog demands, as its manual page recommends.
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let every = watchdog.map_or(STATUS_INTERVAL, |every| every.min(STATUS_INTERVAL));
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_logged = false;
    loop {
        ticks.tick().await;
        let status = status(&store.load());
        let sent = sd_notify::notify(&message(&liveness, watchdog.is_some(), &status));
        if !is_logged {
            is_logged = sent.is_err();
            log_failure(sent);
        }
    }
}

fn log_failure(sent: io::Result<()>) {
    if let Err(error) = sent {
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

/// The status for `systemctl status`.
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
    async fn the_watchdog_is_not_notified_once_the_scheduler_has_stopped() {
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
