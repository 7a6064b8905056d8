//! What a scrape sees: the snapshots as they are at that moment, beside the live
//! instruments, in the text format.
//!
//! Nothing here is updated from elsewhere. A value that is gone from the snapshots
//! is gone from the exposition, and no scrape ever causes a request to the cloud.
//! Text is written straight from the snapshots: families built in between would take
//! many times the memory and time with thousands of accounts.

mod text;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use crate::clock::Clock;
use crate::collector::{self, Sample};
use crate::metrics::process::{self, ProcessMetrics};
use crate::metrics::{self, MetricDef, unix_seconds};
use crate::snapshot::{AccountState, CollectorState, Store};
use text::Family;

/// The exact `Content-Type` of what [`Exposition::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How large a piece of a scrape is, in bytes, about: large enough to cost nothing.
const PAGE: usize = 256 * 1024;

/// The definitions of the metrics that describe the snapshots.
pub mod defs {
    crate::metrics::define_metrics! {
        UP = Gauge "tencentcloud_cwp_up" ["account"]
            "1 if the last collection of every collector of the account succeeded, else 0, before the first too."
        ACCOUNT_INFO = Gauge "tencentcloud_cwp_account_info" ["account", "endpoint", "region"]
            "Every configured account; always 1. Its configured labels carry the prefix label_."
        ACCOUNTS = Gauge "cwp_exporter_accounts" []
            "Accounts that this process collects."
        SUCCESS = Gauge "cwp_exporter_collector_success" ["account", "collector"]
            "1 if the last collection succeeded, 0 if it failed; absent before the first has ended."
        FAILURE_REASON = Gauge "cwp_exporter_collector_failure_reason" ["account", "collector", "reason"]
            "Why the last collection failed; always 1, absent while collections succeed."
        FAILURES = Counter "cwp_exporter_collector_failures_total" ["account", "collector"]
            "Collections that failed."
        DURATION = Gauge "cwp_exporter_collector_duration_seconds" ["account", "collector"]
            "How long the last collection took, retries and waits included, in seconds."
        LAST_ATTEMPT = Gauge "cwp_exporter_collector_last_attempt_timestamp_seconds" ["account", "collector"]
            "When the last collection ended, well or badly, in seconds since the Unix epoch."
        LAST_SUCCESS = Gauge "cwp_exporter_collector_last_success_timestamp_seconds" ["account", "collector"]
            "When the last successful collection ended, in seconds since the Unix epoch; absent before the first."
        RESTORED = Gauge "cwp_exporter_collector_restored" ["account", "collector"]
            "1 while the values come from the state folder and have not been collected anew; absent otherwise."
        SCHEMA_DRIFT = Gauge "cwp_exporter_schema_drift" ["account", "collector", "field", "kind"]
            "A field in which the last readable answer differed from its documentation (kind: unknown, missing, invalid); always 1."
        CREDENTIAL_EXPIRY = Gauge "cwp_exporter_credential_expiry_timestamp_seconds" ["account"]
            "When the account's temporary credential expires unless it is replaced, in seconds since the Unix epoch; absent for other credentials."
    }
}

/// Every metric that this exporter may expose.
#[must_use]
pub fn catalogue() -> Vec<&'static MetricDef> {
    let collectors = collector::all().iter().flat_map(|each| each.metrics());
    let own = [defs::ALL, metrics::defs::ALL, process::defs::ALL].concat();
    collectors.copied().chain(own).collect()
}

/// Renders what a scrape sees.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
    store: Arc<Store>,
    clock: Clock,
    process: Option<ProcessMetrics>,
    /// All definitions, in the order of their names.
    defs: Vec<&'static MetricDef>,
}

/// A scrape in pieces. What it shows is what was known when it began; its text is
/// written only as it is taken, so that it is never in memory as a whole.
pub struct Pages {
    defs: std::vec::IntoIter<&'static MetricDef>,
    live: HashMap<&'static str, String>,
    process: Vec<(&'static MetricDef, f64)>,
    accounts: Vec<Seen>,
}

/// An account, and the states of its collectors at the moment of the scrape.
struct Seen {
    account: Arc<AccountState>,
    states: Vec<SeenState>,
}

/// The state of one collector at that moment.
struct SeenState {
    collector: &'static str,
    state: Arc<CollectorState>,
    /// Whether its values are young enough to be shown.
    fresh: bool,
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
        let mut defs = catalogue();
        defs.sort_by_key(|def| def.name);
        Self {
            registry,
            store,
            clock,
            process,
            defs,
        }
    }

    /// A scrape, in the format [`CONTENT_TYPE`] names. Its order never changes.
    ///
    /// # Errors
    ///
    /// None in practice: every live instrument has a name and a sample.
    pub fn pages(&self) -> prometheus::Result<Pages> {
        let families = self.registry.gather();
        let mut live = HashMap::with_capacity(families.len());
        for &def in &self.defs {
            if let Some(family) = families.iter().find(|family| family.name() == def.name) {
                let mut text = String::new();
                TextEncoder::new().encode_utf8(std::slice::from_ref(family), &mut text)?;
                live.insert(def.name, text);
            }
        }
        let process = self.process.as_ref().map(ProcessMetrics::read);
        let (now, accounts) = (self.clock.now(), self.store.load());
        let seen = accounts.list().iter();
        Ok(Pages {
            defs: self.defs.clone().into_iter(),
            live,
            process: process.unwrap_or_default(),
            accounts: seen
                .map(|account| Seen::new(account, now, accounts.max_age()))
                .collect(),
        })
    }

    /// The whole text of a scrape.
    ///
    /// # Errors
    ///
    /// See [`pages`](Self::pages).
    pub fn render(&self) -> prometheus::Result<String> {
        Ok(self.pages()?.collect())
    }

    /// What the cloud says of one account, or nothing if there is no such account.
    #[must_use]
    pub fn render_account(&self, name: &str) -> Option<String> {
        let accounts = self.store.load();
        let account = accounts.list().iter().find(|each| each.name == name)?;
        let seen = Seen::new(account, self.clock.now(), accounts.max_age());
        let mut text = String::new();
        for &def in &self.defs {
            if def.name.starts_with("tencentcloud_cwp_") {
                seen.write(&mut Family::new(&mut text, def));
            }
        }
        Some(text)
    }
}

impl Iterator for Pages {
    type Item = String;

    /// The next families, as many as make a page.
    fn next(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() < PAGE
            && let Some(def) = self.defs.next()
        {
            self.write(def, &mut text);
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

impl Pages {
    fn write(&self, def: &'static MetricDef, text: &mut String) {
        if let Some(live) = self.live.get(def.name) {
            text.push_str(live);
            return;
        }
        let mut family = Family::new(text, def);
        for (known, value) in &self.process {
            if *known == def {
                family.sample(&[], *value);
            }
        }
        if def == defs::ACCOUNTS {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            family.sample(&[], self.accounts.len() as f64);
        }
        for seen in &self.accounts {
            seen.write(&mut family);
        }
    }
}

impl SeenState {
    fn samples(&self) -> &[Sample] {
        match &self.state.last_success {
            Some(success) if self.fresh => &success.samples,
            _ => &[],
        }
    }
}

impl Seen {
    fn new(account: &Arc<AccountState>, now: Timestamp, max_age: Duration) -> Self {
        let states = account.slots.iter().map(|slot| {
            let state = slot.load();
            SeenState {
                collector: slot.collector().name(),
                fresh: !state.samples(now, max_age).is_empty(),
                state,
            }
        });
        Self {
            account: Arc::clone(account),
            states: states.collect(),
        }
    }

    /// Writes this account's samples of `family`.
    fn write(&self, family: &mut Family<'_>) {
        let account = self.account.name.as_str();
        let def = family.def();
        if def == defs::UP {
            family.sample(&[account], one_if(self.is_up()));
        } else if def == defs::CREDENTIAL_EXPIRY {
            let states = self.states.iter();
            let expiry = states.filter_map(|seen| seen.state.credential_expires_at);
            if let Some(expiry) = expiry.max() {
                family.sample(&[account], unix_seconds(expiry));
            }
        } else if def == defs::ACCOUNT_INFO {
            let region = self.account.region.as_deref().unwrap_or_default();
            let labels = self.account.labels.iter();
            family.sample_with(
                &[account, &self.account.endpoint, region],
                labels.map(|(name, value)| ("label_", name.as_str(), value.as_str())),
                1.0,
            );
        }
        for seen in &self.states {
            for sample in seen.samples() {
                if sample.metric.name == def.name {
                    // A metric without a second label takes the first alone.
                    family.sample(&[account, &sample.label], sample.value);
                }
            }
            write_state(family, account, seen.collector, &seen.state);
        }
    }

    /// Whether everything that was collected last can be relied on. Values that have
    /// grown too old to show can not, whatever their collection said.
    fn is_up(&self) -> bool {
        let mut states = self.states.iter();
        states.all(|seen| seen.state.succeeded() == Some(true) && seen.fresh)
    }
}

/// Writes what `family` tells of a collector's state.
fn write_state(family: &mut Family<'_>, account: &str, collector: &str, state: &CollectorState) {
    let def = family.def();
    let labels = [account, collector];
    let attempt = state.last_attempt.as_ref();
    if def == defs::SUCCESS {
        if let Some(attempt) = attempt {
            family.sample(&labels, one_if(attempt.failure.is_none()));
        }
    } else if def == defs::FAILURE_REASON {
        if let Some(failure) = attempt.and_then(|attempt| attempt.failure.as_ref()) {
            family.sample(&[account, collector, failure.reason.as_str()], 1.0);
        }
    } else if def == defs::FAILURES {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        family.sample(&labels, state.failures as f64);
    } else if def == defs::DURATION {
        if let Some(attempt) = attempt {
            family.sample(&labels, attempt.duration.as_secs_f64());
        }
    } else if def == defs::LAST_ATTEMPT {
        if let Some(attempt) = attempt {
            family.sample(&labels, unix_seconds(attempt.at));
        }
    } else if def == defs::LAST_SUCCESS {
        if let Some(success) = &state.last_success {
            family.sample(&labels, unix_seconds(success.at));
        }
    } else if def == defs::RESTORED {
        if state.restored {
            family.sample(&labels, 1.0);
        }
    } else if def == defs::SCHEMA_DRIFT {
        for drift in &*state.drift {
            family.sample(
                &[account, collector, &drift.field, drift.kind.as_str()],
                1.0,
            );
        }
    }
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::license_general::LicenseGeneral;
    use crate::snapshot::{KeySource, Slot};

    fn exposition(accounts: usize) -> Exposition {
        let accounts = (0..accounts).map(|number| {
            Arc::new(AccountState {
                name: format!("account-{number:05}"),
                identity: String::new(),
                endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
                region: None,
                labels: [("team".to_owned(), "x".to_owned())].into(),
                key_source: KeySource::new(String::new),
                slots: vec![Arc::new(Slot::new(&LicenseGeneral))],
            })
        });
        let store = Store::new(accounts.collect(), Duration::from_secs(600));
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        Exposition::new(Registry::new(), Arc::new(store), clock, None)
    }

    #[test]
    fn a_small_scrape_is_one_page_and_a_large_one_the_same_text_in_several() {
        assert_eq!(exposition(1).pages().unwrap().count(), 1);
        let large = exposition(5_000);
        let pages: Vec<String> = large.pages().unwrap().collect();
        assert!(pages.len() > 1);
        assert!(pages.iter().all(|page| page.ends_with('\n')));
        let text = pages.concat();
        assert_eq!(text, large.render().unwrap());
        let infos = "tencentcloud_cwp_account_info{account=\"account-";
        assert_eq!(text.matches(infos).count(), 5_000);
        assert_eq!(text.matches("# TYPE tencentcloud_cwp_up ").count(), 1);
    }

    #[test]
    fn an_account_that_was_never_collected_is_down_and_has_no_values() {
        assert_eq!(
            exposition(1).render_account("account-00000").unwrap(),
            "# HELP tencentcloud_cwp_account_info Every configured account; always 1. \
             Its configured labels carry the prefix label_.\n\
             # TYPE tencentcloud_cwp_account_info gauge\n\
             tencentcloud_cwp_account_info{account=\"account-00000\",\
             endpoint=\"https://cwp.tencentcloudapi.com\",region=\"\",label_team=\"x\"} 1\n\
             # HELP tencentcloud_cwp_up 1 if the last collection of every collector of the \
             account succeeded, else 0, before the first too.\n\
             # TYPE tencentcloud_cwp_up gauge\n\
             tencentcloud_cwp_up{account=\"account-00000\"} 0\n"
        );
        assert!(exposition(1).render_account("other").is_none());
    }
}
