//! What a scrape sees: the snapshots as they are at that moment, beside the live
//! instruments, in each of the formats.
//!
//! Nothing here is updated from elsewhere. A value that is gone from the snapshots
//! is gone from the exposition, and no scrape ever causes a request to the cloud.
//! The lines of a snapshot are written once, when a collection ends; a scrape copies them.
//!
//! It has two parts, one after the other: that of the accounts, which is large and
//! changes with their snapshots, and the live one, which is small and always changes.

mod families;
mod live;
pub mod process;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::Registry;

use crate::collection::snapshot::{Accounts, Store};
pub use crate::metrics::format::Format;
use crate::metrics::{self, MetricDef};
use crate::system::clock::{Clock, TimePoint};
use families::Families;
use process::ProcessMetrics;

/// The definitions of the metrics that describe the snapshots.
pub mod defs {
    crate::metrics::define_metrics! {
        UP = Gauge "tencentcloud_cwp_up" ["account"]
            "1 if the last collection of license_general succeeded and its values are not too old, \
             else 0; 0 before the first collection."
        ACCOUNT_INFO = Gauge "tencentcloud_cwp_account_info" ["account", "endpoint", "region"]
            "Every configured account; always 1. Its configured labels carry the prefix label_."
        ACCOUNTS = Gauge "cwp_exporter_accounts" []
            "Accounts that this process collects."
        INTERVAL = Gauge "cwp_exporter_collector_interval_seconds" ["collector"]
            "Interval between two collections of an account, in seconds."
        MAX_AGE = Gauge "cwp_exporter_collector_max_age_seconds" ["collector"]
            "Time after a collection for which its values are exposed, in seconds."
        LAST_ATTEMPT = Gauge "cwp_exporter_collector_last_attempt_timestamp_seconds" ["account", "collector"]
            "End of the last collection, successful or not, in seconds since the Unix epoch."
        LAST_SUCCESS = Gauge "cwp_exporter_collector_last_success_timestamp_seconds" ["account", "collector"]
            "End of the last successful collection, in seconds since the Unix epoch; absent before \
             the first success."
        CREDENTIAL_EXPIRY = Gauge "cwp_exporter_credential_expiry_timestamp_seconds" ["account"]
            "Expiry of the account's temporary key, in seconds since the Unix epoch; absent for a \
             key without a known expiry."
    }
}

/// Renders what a scrape sees.
pub struct Exposition {
    registry: Registry,
    store: Arc<Store>,
    clock: Clock,
    process: Option<ProcessMetrics>,
    /// The families of the accounts that were there at the last scrape.
    families: ArcSwapOption<Families>,
    /// The definitions of the live part.
    live: Vec<&'static MetricDef>,
}

impl Exposition {
    /// The exposition of `store` beside what `registry` has.
    ///
    /// `process` is for a daemon only: in a textfile these metrics would clash with
    /// those of the exporter that reads it.
    #[must_use]
    pub fn new(
        registry: Registry,
        store: Arc<Store>,
        clock: Clock,
        process: Option<ProcessMetrics>,
    ) -> Self {
        let mut live = [metrics::defs::ALL, process::defs::ALL].concat();
        live.sort_by_key(|def| def.name);
        Self {
            registry,
            store,
            clock,
            process,
            families: ArcSwapOption::empty(),
            live,
        }
    }

    /// How many accounts there are.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.store.load().list().len()
    }

    /// The revision of the accounts.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.store.revision().get()
    }

    /// The clock that ages are told by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The moment from which ages are told.
    #[must_use]
    pub fn now(&self) -> TimePoint {
        self.clock.moment()
    }

    /// Writes the accounts' part to `out`, and returns how long from now on its values are
    /// young enough to be shown.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_accounts(&self, format: Format, out: &mut impl Write) -> io::Result<Duration> {
        let accounts = self.store.load();
        let families = match self.families.load_full() {
            Some(families) if Arc::ptr_eq(&families.of, &accounts) => families,
            _ => {
                let families = Arc::new(Families::new(accounts));
                self.families.store(Some(Arc::clone(&families)));
                families
            }
        };
        families.write(format, self.now(), out)
    }

    /// The live part, as it is now, and the end of the exposition.
    #[must_use]
    pub fn live(&self, format: Format) -> Vec<u8> {
        let process = self
            .process
            .as_ref()
            .map(|process| process.read(self.now()));
        let (families, process) = (self.registry.gather(), process.unwrap_or_default());
        let mut out = Vec::new();
        live::write(format, &self.live, &families, &process, &mut out);
        out.extend_from_slice(format.end());
        out
    }

    /// The whole text of a scrape, which is UTF-8. Its order never changes.
    ///
    /// # Errors
    ///
    /// None in practice: memory takes all text.
    pub fn render(&self, format: Format) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.write_accounts(format, &mut text)?;
        text.extend(self.live(format));
        Ok(text)
    }

    /// The series of each account, without those of the process.
    ///
    /// # Errors
    ///
    /// See [`render`](Self::render).
    pub fn render_accounts(&self, format: Format) -> io::Result<Vec<u8>> {
        let mut families = Families::new(self.store.load());
        families.retain(|def| def.labels.contains(&"account"));
        self.render_alone(format, &families)
    }

    /// All series of one account and the series that its alerts need; nothing if there is no
    /// such account.
    ///
    /// # Errors
    ///
    /// See [`render`](Self::render).
    pub fn render_account(&self, format: Format, name: &str) -> io::Result<Option<Vec<u8>>> {
        let accounts = self.store.load();
        let mut accounts = accounts.list().iter();
        let Some(account) = accounts.find(|each| each.name == name) else {
            return Ok(None);
        };
        let mut families = Families::new(Arc::new(Accounts::new(vec![Arc::clone(account)])));
        families.retain(|def| def != defs::ACCOUNTS);
        self.render_alone(format, &families).map(Some)
    }

    fn render_alone(&self, format: Format, families: &Families) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        families.write(format, self.now(), &mut text)?;
        text.extend_from_slice(format.end());
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
