//! The formats of the exposition: heads, labels and numbers of each.

use super::{Kind, MetricDef};

/// A text format that Prometheus reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format, 0.0.4; 1.0.0 is the same with names like ours.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Appends the lines that begin a family.
    pub(crate) fn head(self, def: &MetricDef, out: &mut Vec<u8>) {
        let kind = def.kind.as_str();
        match self {
            Self::Text => {
                pieces(out, ["# HELP ", def.name, " "]);
                escape(out, def.help.as_bytes(), false);
                pieces(out, ["\n# TYPE ", def.name, " ", kind, "\n"]);
            }
            Self::OpenMetrics => {
                let family = def.family();
                pieces(out, ["# TYPE ", family, " ", kind, "\n"]);
                if let Some(unit) = def.unit() {
                    pieces(out, ["# UNIT ", family, " ", unit, "\n"]);
                }
                pieces(out, ["# HELP ", family, " "]);
                escape(out, def.help.as_bytes(), true);
                out.push(b'\n');
            }
        }
    }

    /// A bucket's bound, which OpenMetrics wants to look like a float.
    pub(crate) fn bound(self, bound: f64) -> String {
        let mut text = Number::default().text(bound).to_owned();
        if self == Self::OpenMetrics && !text.contains(['.', 'e', 'I']) {
            text.push_str(".0");
        }
        text
    }

    /// What ends the exposition.
    pub(crate) fn end(self) -> &'static [u8] {
        match self {
            Self::Text => b"",
            Self::OpenMetrics => b"# EOF\n",
        }
    }
}

impl MetricDef {
    /// The name of the family in OpenMetrics.
    fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }

    /// The unit in the name.
    fn unit(&self) -> Option<&'static str> {
        let last = self.family().rsplit('_').next()?;
        ["seconds", "bytes"].into_iter().find(|unit| *unit == last)
    }
}

/// Appends a sample's line: the name, the labels in braces if there are any, the value.
pub(crate) fn line<'a>(
    out: &mut Vec<u8>,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: f64,
) {
    out.extend_from_slice(name.as_bytes());
    let mut separator = b'{';
    for (name, value) in labels {
        out.push(separator);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(out, value.as_bytes(), true);
        out.push(b'"');
        separator = b',';
    }
    if separator == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    out.extend_from_slice(Number::default().text(value).as_bytes());
    out.push(b'\n');
}

/// Where a value is written: whole numbers as such, all others with as few digits as tell
/// them apart.
#[derive(Default)]
struct Number {
    integer: itoa::Buffer,
    float: zmij::Buffer,
}

impl Number {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whether something is lost is just what is asked"
    )]
    fn text(&mut self, value: f64) -> &str {
        if value.abs() < 1e16 && value as i64 as f64 == value {
            self.integer.format(value as i64)
        } else if value.is_finite() {
            self.float.format_finite(value)
        } else if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
    }
}

/// Appends `value` with backslashes and line ends escaped, and quotes where `quotes` is set.
fn escape(out: &mut Vec<u8>, value: &[u8], quotes: bool) {
    let mut rest = value;
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special.first() {
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'"') if !quotes => out.push(b'"'),
            Some(&byte) => out.extend_from_slice(&[b'\\', byte]),
            None => {}
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn pieces<const N: usize>(out: &mut Vec<u8>, pieces: [&str; N]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: &MetricDef = &MetricDef {
        name: "some_wait_seconds_total",
        help: "Has \\ a \"quote\"\nand a line.",
        kind: Kind::Counter,
        labels: &[],
    };

    fn head(format: Format, def: &MetricDef) -> String {
        let mut out = Vec::new();
        format.head(def, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_head_of_a_counter_is_as_each_format_says() {
        assert_eq!(
            head(Format::Text, WAITS),
            "# HELP some_wait_seconds_total Has \\\\ a \"quote\"\\nand a line.\n\
             # TYPE some_wait_seconds_total counter\n"
        );
        assert_eq!(
            head(Format::OpenMetrics, WAITS),
            "# TYPE some_wait_seconds counter\n\
             # UNIT some_wait_seconds seconds\n\
             # HELP some_wait_seconds Has \\\\ a \\\"quote\\\"\\nand a line.\n"
        );
    }

    #[test]
    fn only_a_name_that_ends_in_a_unit_has_one() {
        let unit = |name| {
            MetricDef {
                name,
                kind: Kind::Gauge,
                ..*WAITS
            }
            .unit()
        };
        assert_eq!(unit("process_resident_memory_bytes"), Some("bytes"));
        assert_eq!(unit("last_success_timestamp_seconds"), Some("seconds"));
        assert_eq!(unit("requests_per_second"), None);
        assert_eq!(unit("licences"), None);
    }

    #[test]
    fn numbers_are_short_exact_and_canonical() {
        let written = |value| Number::default().text(value).to_owned();
        for (value, text) in [
            (0.0, "0"),
            (-7.0, "-7"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1_717_200_000.25, "1717200000.25"),
            (0.1, "0.1"),
            (1e22, "1e+22"),
            (1e16, "1e+16"),
            (-1e16, "-1e+16"),
            (9_999_999_999_999_998.0, "9999999999999998"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(written(value), text);
        }
        for (value, text) in [
            (1_717_200_000.123, "1717200000.123"),
            (1_717_200_000.12, "1717200000.12"),
            (0.001, "0.001"),
            (0.045, "0.045"),
            (0.0005, "0.0005"),
            (-0.5, "-0.5"),
            (1e-7, "1e-7"),
            (4_503_599_627_370.497, "4503599627370.497"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(written(value), text);
        }
        for millis in (0..1_000_000_000_000_000_u64).step_by(7_777_777_777_777) {
            let value = millis as f64 / 1e3;
            assert_eq!(
                written(value).parse::<f64>().unwrap().to_bits(),
                value.to_bits()
            );
            let shortest = zmij::Buffer::new().format_finite(value).to_owned();
            let shortest = shortest.strip_suffix(".0").unwrap_or(&shortest);
            assert_eq!(written(value), shortest);
        }
        for value in [f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2, 1.0 / 3.0] {
            assert_eq!(
                written(value).parse::<f64>().unwrap().to_bits(),
                value.to_bits()
            );
        }
    }

    #[test]
    fn bounds_look_like_floats_in_openmetrics_only() {
        let bound = |format: Format, value| format.bound(value);
        assert_eq!(bound(Format::Text, 10.0), "10");
        assert_eq!(bound(Format::OpenMetrics, 10.0), "10.0");
        assert_eq!(bound(Format::OpenMetrics, 0.025), "0.025");
        assert_eq!(bound(Format::OpenMetrics, f64::INFINITY), "+Inf");
    }

    #[test]
    fn a_line_has_its_labels_in_braces_and_escaped() {
        let written = |labels: &[(&str, &str)]| {
            let mut out = Vec::new();
            line(&mut out, "up", labels.iter().copied(), 0.5);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&[]), "up 0.5\n");
        assert_eq!(written(&[("a", "")]), "up{a=\"\"} 0.5\n");
        assert_eq!(
            written(&[("a", "x\\y\nz"), ("b", "\"é\"")]),
            "up{a=\"x\\\\y\\nz\",b=\"\\\"é\\\"\"} 0.5\n"
        );
    }
}
