//! The values of one answer.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;

use crate::metrics::MetricDef;

/// A series that a collector may yield of each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// Which metric.
    pub metric: &'static MetricDef,
    /// The value of the metric's second label.
    pub label: Label,
}

/// The value of a metric's second label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The metric has no second label.
    None,
    /// Always this one, with nothing in it that the exposition would have to escape.
    Fixed(&'static str),
    /// A word of the answer. It is the metric's only series, and its value is 1. A collector
    /// has at most one like this.
    Found,
}

/// What an answer says of each series of a collector.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    series: &'static [Series],
    /// The value of each; [`ABSENT`] if there is none.
    values: Arc<[f64]>,
    /// The label of the one series whose label is found.
    word: Option<Cow<'static, str>>,
}

/// Where there is no value. None that is known is like this.
pub const ABSENT: f64 = f64::NAN;

/// One value of one account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Which metric.
    pub metric: &'static MetricDef,
    /// The value of the metric's second label, empty when it has none.
    pub label: &'a str,
    /// The value.
    pub value: f64,
}

impl Samples {
    /// No values of any of these `series`.
    #[must_use]
    pub fn none(series: &'static [Series]) -> Self {
        Self {
            series,
            values: iter::repeat_n(ABSENT, series.len()).collect(),
            word: None,
        }
    }

    /// The samples of a collector with these `series` from the metrics' names, their second
    /// labels and their values; nothing if there is one that no such collector yields.
    pub fn from_named<'a>(
        series: &'static [Series],
        named: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
    ) -> Option<Self> {
        let mut samples = Self::none(series);
        for (name, label, value) in named {
            let place = series.iter().position(|series| series.is(name, label))?;
            if !value.is_finite() || value < 0.0 {
                return None;
            }
            match series.get(place)?.label {
                Label::Found => samples.set_word(place, label.to_owned()),
                Label::None | Label::Fixed(_) => samples.set(place, value),
            }
        }
        Some(samples)
    }

    /// Sets the value of the series at this place, exact: never rounded, never derived.
    pub fn set(&mut self, place: usize, value: f64) {
        if let Some(known) = Arc::make_mut(&mut self.values).get_mut(place) {
            *known = value;
        }
    }

    /// Sets the label of the series at this place, whose label is found, and its value to 1.
    pub fn set_word(&mut self, place: usize, word: impl Into<Cow<'static, str>>) {
        self.set(place, 1.0);
        self.word = Some(word.into());
    }

    /// The series, in the order of the metrics' names.
    #[must_use]
    pub fn series(&self) -> &'static [Series] {
        self.series
    }

    /// The value of each series; [`ABSENT`] if there is none.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The label of the series whose label is found.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.word.as_deref()
    }

    /// The samples that there are, in the order of the metrics' names.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        let known = self.series.iter().zip(&*self.values);
        let known = known.filter(|(_, value)| !value.is_nan());
        known.map(|(series, value)| Sample {
            metric: series.metric,
            label: match series.label {
                Label::None => "",
                Label::Fixed(label) => label,
                Label::Found => self.word().unwrap_or_default(),
            },
            value: *value,
        })
    }
}

impl Series {
    /// Whether a sample of the metric `name` with this second label is of this series.
    fn is(&self, name: &str, label: &str) -> bool {
        let has_label = match self.label {
            Label::None => label.is_empty(),
            Label::Fixed(fixed) => label == fixed,
            Label::Found => true,
        };
        has_label && self.metric.name == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::Collector as _;
    use crate::collectors::license_general::LicenseGeneral;

    #[test]
    fn samples_come_back_by_name_in_the_order_of_their_metrics() {
        let named = [
            ("tencentcloud_cwp_protect_type", "旗舰版\"NEW\"", 1.0),
            ("tencentcloud_cwp_licenses", "", 7.0),
            ("tencentcloud_cwp_edition_licenses", "ultimate", 2.0),
        ];
        let samples = Samples::from_named(LicenseGeneral.series(), named).unwrap();
        let back = samples.iter();
        let back: Vec<_> = back
            .map(|one| (one.metric.name, one.label, one.value))
            .collect();
        assert_eq!(back, [named[2], named[1], named[0]]);
    }

    #[test]
    fn a_sample_that_no_collector_yields_makes_the_others_doubtful() {
        for odd in [
            ("tencentcloud_cwp_licenses", "ultimate", 7.0),
            ("tencentcloud_cwp_edition_licenses", "other", 7.0),
            ("other", "", 7.0),
            ("tencentcloud_cwp_licenses", "", -7.0),
            ("tencentcloud_cwp_licenses", "", f64::NAN),
            ("tencentcloud_cwp_licenses", "", f64::INFINITY),
        ] {
            let named = [("tencentcloud_cwp_licenses_used", "", 1.0), odd];
            assert!(
                Samples::from_named(LicenseGeneral.series(), named).is_none(),
                "{odd:?}"
            );
        }
    }
}
