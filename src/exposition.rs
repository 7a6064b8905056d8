//! What a scrape sees: the snapshots as they are at that moment, beside the live
//! instruments, in the text format.
//!
//! Nothing here is updated from elsewhere. A value that is gone from the snapshots
//! is gone from the exposition, and no scrape ever causes a request to the cloud.
//! Text is written straight from the snapshots: families built in between would take
//! many times the memory and time with thousands of accounts.

mod text;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use crate::clock::Clock;
use crate::collector;
use crate::metrics::process::{self, ProcessMetrics};
use crate::metrics::{self, MetricDef, unix_seconds};
use crate::snapshot::{AccountState, CollectorState, Store};
use text::Family;

/// The exact `Content-Type` of what [`Exposition::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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

/// An account, and the states of its collectors at the moment of the scrape.
struct Seen<'a> {
    account: &'a AccountState,
    states: Vec<(&'static str, Arc<CollectorState>)>,
}

/// The moment of a scrape.
#[derive(Clone, Copy)]
struct Moment {
    now: Timestamp,
    max_age: Duration,
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

    /// The text of a scrape, in the format [`CONTENT_TYPE`] names. Its order never
    /// changes.
    ///
    /// # Errors
    ///
    /// None in practice: every live instrument has a name and a sample.
    pub fn render(&self) -> prometheus::Result<String> {
        let accounts = self.store.load();
        let seen: Vec<_> = accounts.list().iter().map(|each| Seen::new(each)).collect();
        let moment = self.moment(accounts.max_age());
        let live = self.registry.gather();
        let process = self.process.as_ref().map(ProcessMetrics::read);

        let mut text = String::new();
        for &def in &self.defs {
            if let Some(family) = live.iter().find(|family| family.name() == def.name) {
                TextEncoder::new().encode_utf8(std::slice::from_ref(family), &mut text)?;
                continue;
            }
            let mut family = Family::new(&mut text, def);
            for (known, value) in process.iter().flatten() {
                if *known == def {
                    family.sample(&[], *value);
                }
            }
            if def == defs::ACCOUNTS {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                family.sample(&[], seen.len() as f64);
            }
            for seen in &seen {
                seen.write(&mut family, moment);
            }
        }
        Ok(text)
    }

    /// What the cloud says of one account, or nothing if there is no such account.
    #[must_use]
    pub fn render_account(&self, name: &str) -> Option<String> {
        let accounts = self.store.load();
        let account = accounts.list().iter().find(|each| each.name == name)?;
        let seen = Seen::new(account);
        let moment = self.moment(accounts.max_age());
        let mut text = String::new();
        for &def in &self.defs {
            if def.name.starts_with("tencentcloud_cwp_") {
                seen.write(&mut Family::new(&mut text, def), moment);
            }
        }
        Some(text)
    }

    fn moment(&self, max_age: Duration) -> Moment {
        Moment {
            now: self.clock.now(),
            max_age,
        }
    }
}

impl<'a> Seen<'a> {
    fn new(account: &'a AccountState) -> Self {
        let slots = account.slots.iter();
        Self {
            account,
            states: slots
                .map(|slot| (slot.collector().name(), slot.load()))
                .collect(),
        }
    }

    /// Writes this account's samples of `family`.
    fn write(&self, family: &mut Family<'_>, moment: Moment) {
        let account = self.account.name.as_str();
        let def = family.def();
        if def == defs::UP {
            family.sample(&[account], one_if(self.is_up(moment)));
        } else if def == defs::CREDENTIAL_EXPIRY {
            let states = self.states.iter();
            let expiry = states.filter_map(|(_, state)| state.credential_expires_at);
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
        for (collector, state) in &self.states {
            for sample in state.samples(moment.now, moment.max_age) {
                if sample.metric == def {
                    // A metric without a second label takes the first alone.
                    family.sample(&[account, &sample.label], sample.value);
                }
            }
            write_state(family, account, collector, state);
        }
    }

    /// Whether everything that was collected last can be relied on. Values that have
    /// grown too old to show can not, whatever their collection said.
    fn is_up(&self, moment: Moment) -> bool {
        self.states.iter().all(|(_, state)| {
            state.succeeded() == Some(true) && !state.samples(moment.now, moment.max_age).is_empty()
        })
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
