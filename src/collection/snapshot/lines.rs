//! What a scrape shows of one collector's state for one account, as text.
//!
//! The text is written once, when a collection ends, and each scrape copies it: an account
//! is collected once a minute, but there can be thousands of accounts in a scrape.

use super::CollectorState;
use crate::collectors::Collector;
use crate::metrics::MetricDef;
use crate::metrics::format::line;

/// The definitions of the metrics that describe a collector's state.
pub mod defs {
    crate::metrics::define_metrics! {
        SUCCESS = Gauge "cwp_exporter_collector_success" ["account", "collector"]
            "1 if the last collection succeeded, 0 if it failed; absent before the first \
             collection has ended."
        FAILURE_REASON = Gauge "cwp_exporter_collector_failure_reason" ["account", "collector", "reason"]
            "The reason of the last failure; always 1, absent if the last collection succeeded."
        FAILURES = Counter "cwp_exporter_collector_failures_total" ["account", "collector"]
            "Collections that failed."
        DURATION = Gauge "cwp_exporter_collector_duration_seconds" ["account", "collector"]
            "Duration of the last collection, retries and waits included, in seconds."
        RESTORED = Gauge "cwp_exporter_collector_restored" ["account", "collector"]
            "1 while the values come from the state folder and have not been collected again; \
             absent otherwise."
        ROWS_HIDDEN = Gauge "cwp_exporter_collector_rows_hidden" ["account", "collector"]
            "Rows of the cloud's list that have no series because of max_rows; absent for \
             collectors without a list and before the first success."
        SCHEMA_DRIFT = Gauge "cwp_exporter_schema_drift" ["account", "collector", "field", "kind"]
            "A field of the last readable answer that differs from the documentation of the API \
             (kind: unknown, missing, invalid); always 1."
    }
}

/// The lines of each family of one collector's state: first of the families of the
/// collector, then of those in [`defs::ALL`].
#[derive(Debug, Clone, Default)]
pub struct Lines {
    text: Box<[u8]>,
    /// Where the lines of each family end.
    ends: Box<[u32]>,
}

/// Borrowed lines. A scrape walks through thousands of them for each family: with the
/// addresses side by side, a family of 10,000 accounts takes two cache misses for each account
/// instead of three.
#[derive(Debug, Clone, Copy)]
pub struct BorrowedLines<'a> {
    text: &'a [u8],
    ends: &'a [u32],
}

impl Lines {
    /// The lines of `state`, which is what `collector` knows of `account`. The lines `before`
    /// were mostly as long, so that the memory need not grow step by step.
    pub(super) fn new(
        collector: &dyn Collector,
        account: &str,
        state: &CollectorState,
        before: &Self,
    ) -> Self {
        let mut text = Vec::with_capacity(before.text.len());
        let mut ends = Vec::with_capacity(before.ends.len());
        let samples = state.last_success.as_ref();
        let samples = samples.map_or(&[][..], |success| &success.samples);
        for metric in collector.metrics() {
            for sample in samples.iter().filter(|sample| sample.metric == *metric) {
                let names = metric.labels.iter().copied();
                let labels = sample.labels.iter().map(AsRef::as_ref);
                let labels = names.zip([account].into_iter().chain(labels));
                line(&mut text, metric.name, labels, sample.value);
            }
            ends.push(end(&text));
        }
        for metric in defs::ALL {
            write_state(&mut text, metric, [account, collector.name()], state);
            ends.push(end(&text));
        }
        Self {
            text: text.into(),
            ends: ends.into(),
        }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> BorrowedLines<'_> {
        BorrowedLines {
            text: &self.text,
            ends: &self.ends,
        }
    }
}

impl<'a> BorrowedLines<'a> {
    /// The lines of the family with this number.
    #[must_use]
    pub fn family(self, number: usize) -> &'a [u8] {
        let end = |number: usize| self.ends.get(number).copied().unwrap_or_default() as usize;
        let start = number.checked_sub(1).map_or(0, end);
        self.text.get(start..end(number)).unwrap_or_default()
    }
}

/// No text is longer: an answer has 16 MiB at most, and rows are bounded.
fn end(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn write_state(
    text: &mut Vec<u8>,
    metric: &MetricDef,
    [account, collector]: [&str; 2],
    state: &CollectorState,
) {
    let mut line = |labels: &[(&str, &str)], value: f64| {
        let own = [("account", account), ("collector", collector)];
        let labels = own.into_iter().chain(labels.iter().copied());
        line(text, metric.name, labels, value);
    };
    let (attempt, success) = (state.last_attempt.as_ref(), state.last_success.as_ref());
    let failure = attempt.and_then(|attempt| attempt.failure.as_ref());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let value = match metric {
        metric if metric == defs::FAILURE_REASON => {
            if let Some(failure) = failure {
                line(&[("reason", failure.reason.as_str())], 1.0);
            }
            None
        }
        metric if metric == defs::SCHEMA_DRIFT => {
            for drift in &*state.drift {
                let labels = [("field", &*drift.field), ("kind", drift.kind.as_str())];
                line(&labels, 1.0);
            }
            None
        }
        metric if metric == defs::SUCCESS => state.succeeded().map(|it| f64::from(u8::from(it))),
        metric if metric == defs::FAILURES => Some(state.failures as f64),
        metric if metric == defs::DURATION => attempt.map(|attempt| attempt.duration.as_secs_f64()),
        metric if metric == defs::ROWS_HIDDEN => {
            success.and_then(|success| Some(success.rows_hidden? as f64))
        }
        _ => state.restored.then_some(1.0),
    };
    if let Some(value) = value {
        line(&[], value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::cloud::Error;
    use crate::collection::snapshot::{Attempt, Success};
    use crate::collectors::license_general::{LicenseGeneral, defs as licences};
    use crate::collectors::{Drift, DriftKind, Sample};
    use crate::metrics::reason::Reason;
    use crate::system::clock::Clock;

    /// All lines of `state` in their order.
    fn written(state: &CollectorState) -> String {
        let lines = Lines::new(&LicenseGeneral, "a", state, &Lines::default());
        let lines = lines.borrowed();
        let families = LicenseGeneral.metrics().len() + defs::ALL.len();
        let text: Vec<u8> = (0..families)
            .flat_map(|each| lines.family(each))
            .copied()
            .collect();
        assert_eq!(lines.family(families), b"");
        assert_eq!(text, lines.text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn before_the_first_collection_only_the_failures_are_told() {
        assert_eq!(
            written(&CollectorState::default()),
            "cwp_exporter_collector_failures_total{account=\"a\",collector=\"license_general\"} 0\n"
        );
    }

    #[test]
    fn a_state_is_written_with_all_there_is_to_tell() {
        let now = Clock::new(|| Timestamp::UNIX_EPOCH).moment();
        let mut state = CollectorState {
            last_attempt: Some(Attempt {
                at: now,
                duration: Duration::from_millis(1500),
                failure: Some(Box::new(Error::new(Reason::Timeout, "slow"))),
            }),
            last_success: Some(Success {
                at: now,
                samples: [
                    Sample::new(licences::EDITION, ["ultimate".into()], 2.0),
                    Sample::new(licences::LICENSES, [], 7.0),
                    Sample::new(licences::EDITION, ["basic".into()], 3.0),
                ]
                .into(),
                rows_hidden: Some(3),
                requests: 1,
            }),
            drift: [Drift {
                field: "LicenseCnt".into(),
                kind: DriftKind::Missing,
            }]
            .into(),
            failures: 5,
            restored: true,
            lines: Lines::default(),
        };
        let failed = written(&state);
        let failed: Vec<&str> = failed.lines().collect();
        let own = "account=\"a\",collector=\"license_general\"";
        for line in [
            "tencentcloud_cwp_licenses{account=\"a\"} 7".to_owned(),
            "tencentcloud_cwp_edition_licenses{account=\"a\",edition=\"ultimate\"} 2".to_owned(),
            "tencentcloud_cwp_edition_licenses{account=\"a\",edition=\"basic\"} 3".to_owned(),
            format!("cwp_exporter_collector_success{{{own}}} 0"),
            format!("cwp_exporter_collector_failure_reason{{{own},reason=\"timeout\"}} 1"),
            format!("cwp_exporter_collector_failures_total{{{own}}} 5"),
            format!("cwp_exporter_collector_duration_seconds{{{own}}} 1.5"),
            format!("cwp_exporter_collector_restored{{{own}}} 1"),
            format!("cwp_exporter_collector_rows_hidden{{{own}}} 3"),
            format!("cwp_exporter_schema_drift{{{own},field=\"LicenseCnt\",kind=\"missing\"}} 1"),
        ] {
            assert!(failed.contains(&line.as_str()), "{line} in {failed:#?}");
        }
        assert_eq!(failed.len(), 10);

        state.last_attempt.as_mut().unwrap().failure = None;
        state.restored = false;
        state.last_success.as_mut().unwrap().rows_hidden = None;
        let succeeded = written(&state);
        assert!(succeeded.contains(&format!("cwp_exporter_collector_success{{{own}}} 1\n")));
        assert_eq!(succeeded.lines().count(), 7);
    }
}
