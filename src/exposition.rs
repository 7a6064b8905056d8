//! What a scrape sees: metric families built from the snapshots as they are at
//! that moment, beside the live instruments, in the text format.
//!
//! Nothing here is updated from elsewhere. A value that is gone from the snapshots
//! is gone from the exposition, and no scrape ever causes a request to the cloud.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus::core::{Collector as PrometheusCollector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use crate::clock::Clock;
use crate::collector;
use crate::metrics::process::{self, ProcessMetrics};
use crate::metrics::{self, Kind, MetricDef};
use crate::snapshot::{AccountState, Slot, Store};

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
}

impl Exposition {
    /// The exposition of `store` beside what `registry` has already.
    ///
    /// `process` is for a daemon only: in a textfile these metrics would clash with
    /// those of the exporter that reads it.
    ///
    /// # Errors
    ///
    /// When `registry` already has metrics of these names.
    pub fn new(
        registry: Registry,
        store: Arc<Store>,
        clock: Clock,
        process: Option<ProcessMetrics>,
    ) -> prometheus::Result<Self> {
        registry.register(Box::new(FromSnapshots::new(store, clock)?))?;
        if let Some(process) = process {
            registry.register(Box::new(FromProcess::new(process)?))?;
        }
        Ok(Self { registry })
    }

    /// The text of a scrape, in the format [`CONTENT_TYPE`] names. Its order never
    /// changes.
    ///
    /// # Errors
    ///
    /// None in practice: every family has a name and a sample.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The families of the accounts.
struct FromSnapshots {
    store: Arc<Store>,
    clock: Clock,
    descs: Vec<Desc>,
}

impl FromSnapshots {
    fn new(store: Arc<Store>, clock: Clock) -> prometheus::Result<Self> {
        let collectors = collector::all().iter().flat_map(|each| each.metrics());
        Ok(Self {
            store,
            clock,
            descs: descs(defs::ALL.iter().chain(collectors))?,
        })
    }
}

impl PrometheusCollector for FromSnapshots {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.clock.now();
        let mut families = Families::default();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        families.add(defs::ACCOUNTS, &[], self.store.accounts().len() as f64);
        for account in self.store.accounts() {
            add_account(&mut families, account, now, &self.store);
        }
        families.finish()
    }
}

fn add_account(families: &mut Families, account: &AccountState, now: Timestamp, store: &Store) {
    let mut up = true;
    for slot in &account.slots {
        up &= add_slot(families, &account.name, slot, now, store);
    }
    families.add(defs::UP, &[&account.name], one_if(up));
    let slots = account.slots.iter();
    let expiry = slots.filter_map(|slot| slot.load().credential_expires_at);
    if let Some(expiry) = expiry.max() {
        families.add(defs::CREDENTIAL_EXPIRY, &[&account.name], seconds(expiry));
    }

    let region = account.region.as_deref().unwrap_or_default();
    let values = [account.name.as_str(), &account.endpoint, region];
    let mut labels = pairs(defs::ACCOUNT_INFO, &values);
    labels.extend(
        account
            .labels
            .iter()
            .map(|(name, value)| pair(&format!("label_{name}"), value)),
    );
    families.add_with(defs::ACCOUNT_INFO, labels, 1.0);
}

/// Adds one collector's samples and health; says whether it is up.
fn add_slot(
    families: &mut Families,
    account: &str,
    slot: &Slot,
    now: Timestamp,
    store: &Store,
) -> bool {
    let collector = slot.collector().name();
    let state = slot.load();
    let samples = state.samples(now, store.max_age());
    for sample in samples {
        let labels = [account, &sample.label];
        // A metric without a second label takes the first alone.
        families.add(sample.metric, &labels, sample.value);
    }
    for drift in &*state.drift {
        let labels = [account, collector, &drift.field, drift.kind.as_str()];
        families.add(defs::SCHEMA_DRIFT, &labels, 1.0);
    }

    let labels = [account, collector];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    families.add(defs::FAILURES, &labels, state.failures as f64);
    if let Some(success) = &state.last_success {
        families.add(defs::LAST_SUCCESS, &labels, seconds(success.at));
    }
    let Some(attempt) = &state.last_attempt else {
        return false;
    };
    let succeeded = attempt.failure.is_none();
    families.add(defs::SUCCESS, &labels, one_if(succeeded));
    families.add(defs::DURATION, &labels, attempt.duration.as_secs_f64());
    families.add(defs::LAST_ATTEMPT, &labels, seconds(attempt.at));
    if let Some(failure) = &attempt.failure {
        let labels = [account, collector, failure.reason.as_str()];
        families.add(defs::FAILURE_REASON, &labels, 1.0);
    }
    // A success whose values have grown too old to show is no longer one to rely on.
    succeeded && !samples.is_empty()
}

/// The families of the process.
struct FromProcess {
    process: ProcessMetrics,
    descs: Vec<Desc>,
}

impl FromProcess {
    fn new(process: ProcessMetrics) -> prometheus::Result<Self> {
        Ok(Self {
            process,
            descs: descs(process::defs::ALL)?,
        })
    }
}

impl PrometheusCollector for FromProcess {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        for (def, value) in self.process.read() {
            families.add(def, &[], value);
        }
        families.finish()
    }
}

/// Families under construction.
#[derive(Default)]
struct Families(BTreeMap<&'static str, (&'static MetricDef, Vec<Metric>)>);

impl Families {
    /// Adds a sample whose label values are those of the definition, in its order.
    fn add(&mut self, def: &'static MetricDef, values: &[&str], value: f64) {
        self.add_with(def, pairs(def, values), value);
    }

    fn add_with(&mut self, def: &'static MetricDef, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        match def.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            // A histogram is never built from a snapshot.
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        let (_, metrics) = self.0.entry(def.name).or_insert((def, Vec::new()));
        metrics.push(metric);
    }

    fn finish(self) -> Vec<MetricFamily> {
        let families = self.0.into_values().map(|(def, metrics)| {
            let mut family = MetricFamily::default();
            family.set_name(def.name.to_owned());
            family.set_help(def.help.to_owned());
            family.set_field_type(match def.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge | Kind::Histogram => MetricType::GAUGE,
            });
            family.set_metric(metrics);
            family
        });
        families.collect()
    }
}

fn descs<'a>(
    defs: impl IntoIterator<Item = &'a &'static MetricDef>,
) -> prometheus::Result<Vec<Desc>> {
    let descs = defs.into_iter().map(|def| {
        let labels = def.labels.iter().map(|&label| label.to_owned()).collect();
        Desc::new(
            def.name.to_owned(),
            def.help.to_owned(),
            labels,
            Default::default(),
        )
    });
    descs.collect()
}

fn pairs(def: &MetricDef, values: &[&str]) -> Vec<LabelPair> {
    let labels = def.labels.iter().zip(values);
    labels.map(|(name, value)| pair(name, value)).collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}
