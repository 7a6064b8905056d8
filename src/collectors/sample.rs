//! One value of an account.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::metrics::MetricDef;

/// The values of a metric's labels behind `account`, in their order. Those of a fixed series
/// are borrowed: an account has dozens, and each would be an allocation in each collection.
pub type Labels = Cow<'static, [Cow<'static, str>]>;

/// One value of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which metric.
    pub metric: &'static MetricDef,
    /// The values of its labels.
    pub labels: Labels,
    /// The value, exact: never rounded, never derived from another.
    pub value: f64,
}

impl Sample {
    /// A sample of `metric`, with the values of its labels behind `account`.
    #[must_use]
    pub fn new<const N: usize>(
        metric: &'static MetricDef,
        labels: [Cow<'static, str>; N],
        value: f64,
    ) -> Self {
        Self {
            metric,
            labels: Cow::Owned(labels.into()),
            value,
        }
    }

    /// The value of the metric's first label behind `account`, empty when it has none.
    #[must_use]
    pub fn label(&self) -> &str {
        self.labels.first().map_or("", |label| label)
    }
}

/// A metric with two samples of the same series, if there is one.
#[must_use]
pub fn repeated<'s>(samples: impl IntoIterator<Item = &'s Sample>) -> Option<&'static MetricDef> {
    let mut known = HashSet::new();
    let mut samples = samples.into_iter();
    let repeated = samples.find(|sample| !known.insert((sample.metric.name, &sample.labels)));
    repeated.map(|sample| sample.metric)
}
