//! The contract between the scheduler and what it collects.
//!
//! A collector does no I/O: it says what to ask and what an answer means. Signing,
//! budget, retries and timeouts are the API client's, timing is the scheduler's.
//!
//! To add an action: one file beside `license_general.rs`, one line in [`all`],
//! one folder of answers under `tests/fixtures/api/`.

pub mod license_general;
mod samples;

use std::borrow::Cow;

pub use samples::{ABSENT, Label, Sample, Samples, Series};

use crate::cloud::{Fields, Request};
use crate::metrics::MetricDef;

/// One API action and the metrics it yields.
pub trait Collector: Send + Sync {
    /// The value of the label `collector`, and the name of its fixture folder.
    fn name(&self) -> &'static str;

    /// Every metric that this collector may yield. Each has the label `account`
    /// first and at most one further label.
    fn metrics(&self) -> &'static [&'static MetricDef];

    /// Every series that this collector may yield, in the order of the metrics' names.
    fn series(&self) -> &'static [Series];

    /// What to ask.
    fn request(&self) -> Request;

    /// What an answer means. A field that is absent, null or of the wrong type
    /// yields no sample.
    fn parse(&self, fields: &Fields) -> Parsed;
}

/// The table of collectors. Each runs for every account.
#[must_use]
pub fn all() -> &'static [&'static dyn Collector] {
    &[&license_general::LicenseGeneral]
}

/// What an answer meant.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The values found.
    pub samples: Samples,
    /// Where the answer differs from its documentation, at most
    /// [`MAX_UNKNOWN_FIELDS`] unknown fields included.
    pub drift: Vec<Drift>,
    /// Whether at least one documented field was valid. If not, the answer was not
    /// of the documented shape and the collection has failed.
    pub recognized: bool,
}

/// A difference between an answer and its documentation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// The API's name of the field, at most [`MAX_FIELD_NAME`] bytes.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub kind: DriftKind,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// Present, but null, of another type or outside the documented range.
    Invalid,
    /// Documented, but absent.
    Missing,
    /// Present, but not documented.
    Unknown,
}

impl DriftKind {
    /// The value of the label `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// How many unknown fields of one answer are reported, those with the shortest names.
pub const MAX_UNKNOWN_FIELDS: usize = 20;

/// How many bytes of an unknown field's name are reported.
pub const MAX_FIELD_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_and_metrics_are_unique() {
        let mut names = BTreeSet::new();
        for collector in all() {
            assert!(names.insert(collector.name()));
            for metric in collector.metrics() {
                assert!(names.insert(metric.name), "{}", metric.name);
                assert!(metric.name.starts_with("tencentcloud_cwp_"));
                assert_eq!(metric.labels.first(), Some(&"account"));
                assert!(metric.labels.len() <= 2);
                assert!(metric.help.ends_with("Polled and cached."));
            }
        }
    }

    #[test]
    fn the_series_are_those_of_the_metrics_in_the_order_of_their_names() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        for collector in all() {
            let series = collector.series();
            assert!(series.is_sorted_by_key(|series| series.metric.name));
            for metric in collector.metrics() {
                let of = series.iter().filter(|series| series.metric == *metric);
                let labels: Vec<Label> = of.map(|series| series.label).collect();
                match (metric.labels.get(1), labels.as_slice()) {
                    (None, [Label::None]) | (Some(_), [Label::Found]) => {}
                    (Some(_), [_, ..]) => assert!(labels.iter().all(|label| match label {
                        Label::Fixed(label) => label.bytes().all(plain),
                        Label::None | Label::Found => false,
                    })),
                    other => panic!("{}: {other:?}", metric.name),
                }
            }
            let found = series.iter().filter(|series| series.label == Label::Found);
            assert!(found.count() <= 1, "Samples keep one word");
            let metrics = series.iter().map(|series| series.metric);
            assert!(
                metrics
                    .into_iter()
                    .all(|metric| collector.metrics().contains(&metric))
            );
        }
    }

    #[test]
    fn every_collector_has_a_fixture_folder() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/api");
        for collector in all() {
            let folder = fixtures.join(collector.name());
            assert!(folder.is_dir(), "{} is missing", folder.display());
        }
    }
}
