//! The live part: the instruments as they are at this moment, and the process.

use prometheus::proto::{Histogram, Metric, MetricFamily};

use crate::metrics::format::{Format, line};
use crate::metrics::{Kind, MetricDef};

/// Appends the samples of the live instruments in `families` and the `process`
/// figures, in the order of `defs`.
pub(super) fn write(
    format: Format,
    defs: &[&'static MetricDef],
    families: &[MetricFamily],
    process: &[(&'static MetricDef, f64)],
    out: &mut Vec<u8>,
) {
    for &def in defs {
        let family = families.iter().find(|family| family.name() == def.name);
        let figure = process.iter().find(|(known, _)| *known == def);
        if let Some(family) = family {
            format.head(def, out);
            for metric in family.get_metric() {
                write_metric(format, def, metric, out);
            }
        } else if let Some((_, value)) = figure {
            format.head(def, out);
            line(out, def.name, [], *value);
        }
    }
}

fn write_metric(format: Format, def: &MetricDef, metric: &Metric, out: &mut Vec<u8>) {
    let labels = def.labels.iter().filter_map(|name| {
        let mut pairs = metric.get_label().iter();
        let pair = pairs.find(|pair| pair.name() == *name)?;
        Some((*name, pair.value()))
    });
    match def.kind {
        Kind::Counter => line(out, def.name, labels, metric.get_counter().get_value()),
        Kind::Gauge => line(out, def.name, labels, metric.get_gauge().get_value()),
        Kind::Histogram => {
            let labels: Vec<_> = labels.collect();
            write_histogram(format, def, &labels, metric.get_histogram(), out);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn write_histogram(
    format: Format,
    def: &MetricDef,
    labels: &[(&str, &str)],
    histogram: &Histogram,
    out: &mut Vec<u8>,
) {
    let name = |suffix: &str| [def.name, suffix].concat();
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = (f64::INFINITY, histogram.get_sample_count());
    for (bound, count) in buckets.filter(|(bound, _)| bound.is_finite()).chain([all]) {
        let bound = format.bound(bound);
        let labels = labels.iter().copied().chain([("le", bound.as_str())]);
        line(out, &name("_bucket"), labels, count as f64);
    }
    let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
    for (suffix, value) in [("_sum", sum), ("_count", count as f64)] {
        line(out, &name(suffix), labels.iter().copied(), value);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, Registry};

    use super::*;

    const DURATION: &MetricDef = &MetricDef {
        name: "some_duration_seconds",
        help: "Some.",
        kind: Kind::Histogram,
        labels: &["action"],
    };

    const OPEN: &MetricDef = &MetricDef {
        name: "process_open_fds",
        help: "Open.",
        kind: Kind::Gauge,
        labels: &[],
    };

    fn written(format: Format) -> String {
        let opts = HistogramOpts::new(DURATION.name, DURATION.help).buckets(vec![0.25, 1.0]);
        let durations = HistogramVec::new(opts, DURATION.labels).unwrap();
        let registry = Registry::new();
        registry.register(Box::new(durations.clone())).unwrap();
        let action = durations.get_metric_with_label_values(&["a\"b"]).unwrap();
        action.observe(0.25);
        action.observe(0.5);
        action.observe(7.0);
        let mut out = Vec::new();
        let (defs, families) = ([OPEN, DURATION], registry.gather());
        write(format, &defs, &families, &[(OPEN, 12.0)], &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_histogram_has_all_buckets_sum_and_count_in_both_formats() {
        assert_eq!(
            written(Format::Text),
            "# HELP process_open_fds Open.\n\
             # TYPE process_open_fds gauge\n\
             process_open_fds 12\n\
             # HELP some_duration_seconds Some.\n\
             # TYPE some_duration_seconds histogram\n\
             some_duration_seconds_bucket{action=\"a\\\"b\",le=\"0.25\"} 1\n\
             some_duration_seconds_bucket{action=\"a\\\"b\",le=\"1\"} 2\n\
             some_duration_seconds_bucket{action=\"a\\\"b\",le=\"+Inf\"} 3\n\
             some_duration_seconds_sum{action=\"a\\\"b\"} 7.75\n\
             some_duration_seconds_count{action=\"a\\\"b\"} 3\n"
        );
        let openmetrics = written(Format::OpenMetrics);
        assert!(openmetrics.contains("_bucket{action=\"a\\\"b\",le=\"1.0\"} 2\n"));
        assert!(openmetrics.contains("# UNIT some_duration_seconds seconds\n"));
    }
}
