//! What the exporter counts about itself while it works.
//!
//! Only instruments that count events as they happen are here. Whatever can be
//! read from the snapshots (health, ages, drift) is built from them at each scrape
//! instead, in [`exposition`](crate::exposition), so that it cannot disagree with them.

pub mod format;
pub mod reason;

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry,
};

use crate::metrics::reason::Reason;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises; its name ends in `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl Kind {
    /// The word behind `# TYPE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric's fixed part. Every metric that can ever be exposed has one.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricDef {
    /// The metric's name.
    pub name: &'static str,
    /// One sentence or two: meaning, unit and source.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The label names, in the order in which they are written.
    pub labels: &'static [&'static str],
}

/// Names `MetricDef` constants and lists them all in `ALL`.
macro_rules! define_metrics {
    ($($constant:ident = $kind:ident $name:literal $labels:tt $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $constant: &$crate::metrics::MetricDef = &$crate::metrics::MetricDef {
                name: $name,
                help: $help,
                kind: $crate::metrics::Kind::$kind,
                labels: &$labels,
            };
        )*
        /// Every metric defined here.
        pub const ALL: &[&$crate::metrics::MetricDef] = &[$($constant),*];
    };
}
pub(crate) use define_metrics;

/// The definitions behind [`ExporterMetrics`].
pub mod defs {
    super::define_metrics! {
        BUILD_INFO = Gauge "cwp_exporter_build_info" ["version", "revision", "rustc"]
            "Version, source revision and compiler of the exporter; always 1."
        API_REQUESTS = Counter "cwp_exporter_api_requests_total" ["action"]
            "HTTP requests sent to the API, retries included. They count for the quota."
        API_REQUEST_FAILURES = Counter "cwp_exporter_api_request_failures_total" ["action", "reason"]
            "HTTP requests to the API that failed, by reason."
        API_REQUEST_DURATION = Histogram "cwp_exporter_api_request_duration_seconds" ["action"]
            "Time between a request to the API and its complete answer or its failure, in seconds."
        API_RATE_LIMIT = Gauge "cwp_exporter_api_rate_limit_requests_per_second" ["action"]
            "Budget by configuration: requests per second of each credential for this action."
        API_RATE_LIMIT_WAIT = Counter "cwp_exporter_api_rate_limit_wait_seconds_total" ["action"]
            "Time for which requests waited for the budget or for api.max_in_flight, in seconds."
        CLOCK_SKEW = Gauge "cwp_exporter_clock_skew_seconds" []
            "Local clock minus the Date header of the API's last answer, in seconds. The API \
             refuses requests at more than 300."
        RELOAD_SUCCESSFUL = Gauge "cwp_exporter_config_last_reload_successful" []
            "1 if the last load of the configuration was successful, else 0."
        RELOAD_SUCCESS_TIMESTAMP = Gauge "cwp_exporter_config_last_reload_success_timestamp_seconds" []
            "Time of the last successful load of the configuration, in seconds since the Unix \
             epoch."
        SHARD_INDEX = Gauge "cwp_exporter_shard_index" []
            "Number of this shard, counted from 0; absent without shards."
        SHARD_TOTAL = Gauge "cwp_exporter_shard_total" []
            "Number of shards; absent without shards."
        CREDENTIAL_REFRESHES = Counter "cwp_exporter_credential_refreshes_total" ["result"]
            "Replacements of credentials that had changed at their source or were about to expire, \
             by result."
        STATE_SAVES = Counter "cwp_exporter_state_saves_total" ["result"]
            "Saves of the last good values to the state folder, by result. A save that takes \
             longer than ten seconds counts as failed. Absent without a state folder."
    }
}

impl MetricDef {
    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// Upper bounds of the request duration's buckets, in seconds.
const DURATION_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The live instruments. A cheap handle: clones count into the same metrics.
#[derive(Debug, Clone)]
pub struct ExporterMetrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    requests: CounterVec,
    failures: CounterVec,
    durations: HistogramVec,
    rate_limits: GaugeVec,
    waits: CounterVec,
    clock_skew: GaugeVec,
    refreshes: CounterVec,
    reload_successful: GaugeVec,
    shard_index: GaugeVec,
    shard_total: GaugeVec,
    state_saves: CounterVec,
}

impl ExporterMetrics {
    /// Instruments that are exposed by `registry`.
    ///
    /// # Errors
    ///
    /// When `registry` already has metrics of these names.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        gauges(registry, defs::BUILD_INFO)?
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                env!("CWP_EXPORTER_REVISION"),
                env!("CWP_EXPORTER_RUSTC"),
            ])
            .set(1.0);

        let refreshes = counters(registry, defs::CREDENTIAL_REFRESHES)?;
        count(&refreshes, true, 0.0);
        count(&refreshes, false, 0.0);
        Ok(Self(Arc::new(Instruments {
            requests: counters(registry, defs::API_REQUESTS)?,
            failures: counters(registry, defs::API_REQUEST_FAILURES)?,
            durations: {
                let def = defs::API_REQUEST_DURATION;
                let opts = HistogramOpts::new(def.name, def.help).buckets(DURATION_BUCKETS.into());
                add(registry, HistogramVec::new(opts, def.labels)?)?
            },
            rate_limits: gauges(registry, defs::API_RATE_LIMIT)?,
            waits: counters(registry, defs::API_RATE_LIMIT_WAIT)?,
            clock_skew: gauges(registry, defs::CLOCK_SKEW)?,
            refreshes,
            reload_successful: gauges(registry, defs::RELOAD_SUCCESSFUL)?,
            shard_index: gauges(registry, defs::SHARD_INDEX)?,
            shard_total: gauges(registry, defs::SHARD_TOTAL)?,
            state_saves: counters(registry, defs::STATE_SAVES)?,
        })))
    }

    /// The instruments of one API action; all of them exist from then on.
    #[must_use]
    pub fn action(&self, action: &'static str, rate_limit: f64) -> ActionMetrics {
        let Instruments {
            requests,
            failures,
            durations,
            rate_limits,
            waits,
            ..
        } = &*self.0;
        rate_limits.with_label_values(&[action]).set(rate_limit);
        let failures = Reason::ALL.map(|reason| {
            let counter = failures.with_label_values(&[action, reason.as_str()]);
            (reason, counter)
        });
        ActionMetrics {
            requests: requests.with_label_values(&[action]),
            failures: failures.into(),
            duration: durations.with_label_values(&[action]),
            wait: waits.with_label_values(&[action]),
        }
    }

    /// Notes the difference between the local clock and the API's, in seconds.
    pub fn set_clock_skew(&self, seconds: f64) {
        set(&self.0.clock_skew, seconds);
    }

    /// Notes whether the configuration was read without a problem.
    pub fn note_reload(&self, succeeded: bool) {
        set(&self.0.reload_successful, f64::from(u8::from(succeeded)));
    }

    /// Lets the saves to the state folder start at 0.
    pub fn start_state_saves(&self) {
        count(&self.0.state_saves, true, 0.0);
        count(&self.0.state_saves, false, 0.0);
    }

    /// Counts a save to the state folder.
    pub fn count_state_save(&self, succeeded: bool) {
        count(&self.0.state_saves, succeeded, 1.0);
    }

    /// Notes which of how many shards this process is.
    pub fn set_shard(&self, index: u32, total: u32) {
        set(&self.0.shard_index, f64::from(index));
        set(&self.0.shard_total, f64::from(total));
    }

    /// Counts a credential that was read anew, or an attempt that failed.
    pub fn count_credential_refresh(&self, succeeded: bool) {
        count(&self.0.refreshes, succeeded, 1.0);
    }
}

/// The instruments of one API action.
#[derive(Debug, Clone)]
pub struct ActionMetrics {
    /// Requests sent.
    pub requests: Counter,
    /// Seconds from sending to the end of the answer.
    pub duration: Histogram,
    /// Seconds spent waiting for the budget.
    pub wait: Counter,
    failures: Arc<[(Reason, Counter)]>,
}

impl ActionMetrics {
    /// Counts a failed request.
    pub fn count_failure(&self, reason: Reason) {
        for (counted, counter) in &*self.failures {
            if *counted == reason {
                counter.inc();
            }
        }
    }
}

/// A time as metrics write it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn unix_seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// Sets a gauge without labels, which is absent until then.
fn set(gauge: &GaugeVec, value: f64) {
    gauge.with_label_values::<&str>(&[]).set(value);
}

/// Adds to the counter of the label `result`.
fn count(counters: &CounterVec, succeeded: bool, by: f64) {
    let result = if succeeded { "success" } else { "failure" };
    counters.with_label_values(&[result]).inc_by(by);
}

fn counters(registry: &Registry, def: &MetricDef) -> prometheus::Result<CounterVec> {
    add(registry, CounterVec::new(def.opts(), def.labels)?)
}

fn gauges(registry: &Registry, def: &MetricDef) -> prometheus::Result<GaugeVec> {
    add(registry, GaugeVec::new(def.opts(), def.labels)?)
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_an_action_starts_at_zero() {
        let registry = Registry::new();
        let metrics = ExporterMetrics::register(&registry).unwrap();
        let action = metrics.action("DescribeLicenseGeneral", 10.0);
        action.count_failure(Reason::Timeout);

        let families = registry.gather();
        let failures = families
            .iter()
            .find(|family| family.name() == defs::API_REQUEST_FAILURES.name)
            .unwrap();
        let counted: Vec<f64> = failures
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .collect();
        assert_eq!(counted, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_registry_that_has_a_metric_of_the_same_name_is_an_error() {
        let later = defs::RELOAD_SUCCESS_TIMESTAMP;
        for def in defs::ALL {
            let registry = Registry::new();
            let opts = Opts::new(def.name, "Taken.");
            registry
                .register(Box::new(prometheus::Gauge::with_opts(opts).unwrap()))
                .unwrap();
            let registered = ExporterMetrics::register(&registry);
            assert_eq!(registered.is_err(), *def != later, "{}", def.name);
        }
    }

    #[test]
    fn what_is_noted_is_exposed_as_it_was_noted() {
        let registry = Registry::new();
        let metrics = ExporterMetrics::register(&registry).unwrap();
        let values = |def: &MetricDef| -> Vec<f64> {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == def.name);
            let of_family = family.into_iter().flat_map(|family| family.get_metric());
            of_family
                .map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value())
                .collect()
        };
        for def in [
            defs::RELOAD_SUCCESSFUL,
            defs::SHARD_INDEX,
            defs::SHARD_TOTAL,
            defs::STATE_SAVES,
        ] {
            assert_eq!(values(def), [0.0; 0], "{}", def.name);
        }
        let _action = metrics.action("DescribeLicenseGeneral", 10.0);
        assert_eq!(values(defs::API_RATE_LIMIT), [10.0]);
        metrics.note_reload(true);
        assert_eq!(values(defs::RELOAD_SUCCESSFUL), [1.0]);
        metrics.note_reload(false);
        assert_eq!(values(defs::RELOAD_SUCCESSFUL), [0.0]);
        metrics.set_shard(2, 5);
        assert_eq!(values(defs::SHARD_INDEX), [2.0]);
        assert_eq!(values(defs::SHARD_TOTAL), [5.0]);
        metrics.start_state_saves();
        metrics.count_state_save(true);
        assert_eq!(values(defs::STATE_SAVES), [0.0, 1.0], "failure, success");
        metrics.count_credential_refresh(false);
        assert_eq!(values(defs::CREDENTIAL_REFRESHES), [1.0, 0.0]);
        assert_eq!(values(defs::BUILD_INFO), [1.0]);
    }

    #[test]
    fn clock_skew_is_absent_until_the_api_has_answered() {
        let registry = Registry::new();
        let metrics = ExporterMetrics::register(&registry).unwrap();
        let exposed = || {
            let families = registry.gather();
            families
                .iter()
                .any(|family| family.name() == defs::CLOCK_SKEW.name)
        };
        assert!(!exposed());
        metrics.set_clock_skew(-1.5);
        assert!(exposed());
    }
}
