//! The live part: the instruments as they are at this moment, and the process.

use prometheus::proto::{Histogram, Metric, MetricFamily};

use super::format::{Format, end_line, label, number};
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
            sample(def.name, b"", *value, out);
        }
    }
}

fn write_metric(format: Format, def: &MetricDef, metric: &Metric, out: &mut Vec<u8>) {
    let mut labels = Vec::new();
    for name in def.labels {
        let pairs = metric.get_label();
        if let Some(pair) = pairs.iter().find(|pair| pair.name() == *name) {
            label(&mut labels, ["", name], pair.value());
        }
    }
    if let Some(separator) = labels.first_mut() {
        *separator = b'{';
    }
    match def.kind {
        Kind::Counter => sample(def.name, &labels, metric.get_counter().get_value(), out),
        Kind::Gauge => sample(def.name, &labels, metric.get_gauge().get_value(), out),
        Kind::Histogram => write_histogram(format, def, &labels, metric.get_histogram(), out),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn write_histogram(
    format: Format,
    def: &MetricDef,
    labels: &[u8],
    histogram: &Histogram,
    out: &mut Vec<u8>,
) {
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = (f64::INFINITY, histogram.get_sample_count());
    for (bound, count) in buckets.filter(|(bound, _)| bound.is_finite()).chain([all]) {
        out.extend_from_slice(def.name.as_bytes());
        out.extend_from_slice(b"_bucket");
        out.extend_from_slice(labels);
        out.push(if labels.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(b"le=\"");
        format.bound(bound, out);
        end_line(count as f64, out);
    }
    let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
    for (suffix, value) in [("_sum", sum), ("_count", count as f64)] {
        out.extend_from_slice(def.name.as_bytes());
        sample(suffix, labels, value, out);
    }
}

/// Appends a line; `labels` lack their closing brace.
fn sample(name: &str, labels: &[u8], value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(labels);
    out.extend_from_slice(if labels.is_empty() { b" " } else { b"} " });
    number(value, out);
    out.push(b'\n');
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
