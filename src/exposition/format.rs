//! The formats of the exposition: heads, labels and numbers of each.

use std::borrow::Cow;

use super::page::Sink;
use crate::metrics::{Kind, MetricDef};

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
    pub(super) fn head(self, def: &MetricDef, out: &mut Vec<u8>) {
        let kind = def.kind.as_str();
        match self {
            Self::Text => {
                line(out, ["# HELP ", def.name, " "]);
                escape(out, def.help.as_bytes(), false);
                line(out, ["\n# TYPE ", def.name, " ", kind, "\n"]);
            }
            Self::OpenMetrics => {
                let family = def.family();
                line(out, ["# TYPE ", family, " ", kind, "\n"]);
                if let Some(unit) = def.unit() {
                    line(out, ["# UNIT ", family, " ", unit, "\n"]);
                }
                line(out, ["# HELP ", family, " "]);
                escape(out, def.help.as_bytes(), true);
                out.push(b'\n');
            }
        }
    }

    /// Appends a bucket's bound, which OpenMetrics wants to look like a float.
    pub(super) fn bound(self, bound: f64, out: &mut Vec<u8>) {
        if self == Self::OpenMetrics && bound.is_finite() {
            out.extend_from_slice(zmij::Buffer::new().format_finite(bound).as_bytes());
        } else {
            number(bound, out);
        }
    }

    /// What ends the exposition.
    pub(super) fn end(self) -> &'static [u8] {
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

    /// The unit that the name tells.
    fn unit(&self) -> Option<&'static str> {
        let last = self.family().rsplit('_').next()?;
        ["seconds", "bytes"].into_iter().find(|unit| *unit == last)
    }
}

/// Appends a further label behind another's last quote.
pub(super) fn label(out: &mut impl Sink, name: [&str; 2], value: &str) {
    line(out, [",", name[0], name[1], "=\""]);
    out.put(&escaped(value.as_bytes()));
    out.put(b"\"");
}

/// Appends a further label behind another's value. The quote that closes it is left to
/// what follows, as it was here.
pub(super) fn further_label(out: &mut impl Sink, name: [&str; 2], value: &str) {
    line(out, ["\",", name[0], name[1], "=\""]);
    out.put(&escaped(value.as_bytes()));
}

/// Ends a line behind the last label's value. Whole numbers are written as such, all
/// others with as few digits as tell them apart.
#[inline(always)]
pub(super) fn end_line(value: f64, out: &mut impl Sink) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whether something is lost is asked next"
    )]
    let digit = value as u8;
    #[expect(clippy::float_cmp, reason = "it is exact or no digit")]
    if digit < 10 && f64::from(digit) == value {
        // Most values are; the length is known then.
        out.put_few([b'"', b'}', b' ', b'0' + digit, b'\n']);
    } else {
        end_with_number(value, out);
    }
}

#[inline(never)]
fn end_with_number(value: f64, out: &mut impl Sink) {
    out.put_few(*b"\"} ");
    number(value, out);
    out.put_few([b'\n']);
}

/// Appends a value.
pub(super) fn number(value: f64, out: &mut impl Sink) {
    let (mut integer, mut float) = (itoa::Buffer::new(), zmij::Buffer::new());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whether something is lost is just what is asked"
    )]
    let text = if value.abs() < 1e16 && value as i64 as f64 == value {
        integer.format(value as i64)
    } else if let Some(millis) = as_millis(value) {
        return thousandths(millis, out);
    } else if value.is_finite() {
        float.format_finite(value)
    } else if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    out.put(text.as_bytes());
}

/// How many thousandths `value` is, if it is just so many, like times are. Fifteen digits
/// tell all such values apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "whether something is lost is just what is asked"
)]
fn as_millis(value: f64) -> Option<u64> {
    let millis = (value * 1e3 + 0.5) as u64;
    (millis < 1_000_000_000_000_000 && millis as f64 / 1e3 == value).then_some(millis)
}

/// Appends so many thousandths, without zeros at the end.
fn thousandths(millis: u64, out: &mut impl Sink) {
    out.put(itoa::Buffer::new().format(millis / 1000).as_bytes());
    let digit = |unit: u64| b'0' + (millis / unit % 10) as u8;
    match [digit(100), digit(10), digit(1)] {
        [first, b'0', b'0'] => out.put_few([b'.', first]),
        [first, second, b'0'] => out.put_few([b'.', first, second]),
        [first, second, third] => out.put_few([b'.', first, second, third]),
    }
}

/// `value` as it stands between quotes.
pub(super) fn escaped(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr3(b'\\', b'\n', b'"', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut escaped = Vec::with_capacity(value.len() + 8);
    escape(&mut escaped, value, true);
    Cow::Owned(escaped)
}

/// Appends `value` with backslashes and line ends escaped, and quotes if told so.
fn escape(out: &mut Vec<u8>, value: &[u8], quotes: bool) {
    for &byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte => out.push(byte),
        }
    }
}

fn line<const N: usize>(out: &mut impl Sink, pieces: [&str; N]) {
    for piece in pieces {
        out.put(piece.as_bytes());
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
        let written = |value| {
            let mut out = Vec::new();
            number(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (value, text) in [
            (0.0, "0"),
            (-7.0, "-7"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1_717_200_000.25, "1717200000.25"),
            (0.1, "0.1"),
            (1e22, "1e+22"),
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
        let bound = |format: Format, value| {
            let mut out = Vec::new();
            format.bound(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(bound(Format::Text, 10.0), "10");
        assert_eq!(bound(Format::OpenMetrics, 10.0), "10.0");
        assert_eq!(bound(Format::OpenMetrics, 0.025), "0.025");
        assert_eq!(bound(Format::OpenMetrics, f64::INFINITY), "+Inf");
    }

    #[test]
    fn lines_end_with_the_same_numbers() {
        for value in [0.0, 9.0, 10.0, -1.0, 0.5, 255.0, 256.0, 1e300, f64::NAN] {
            let (mut line, mut alone) = (Vec::new(), Vec::new());
            end_line(value, &mut line);
            number(value, &mut alone);
            assert_eq!(line, [b"\"} ", alone.as_slice(), b"\n"].concat(), "{value}");
        }
    }

    #[test]
    fn label_values_are_escaped_and_nothing_else_is_touched() {
        let mut out = Vec::new();
        label(&mut out, ["label_", "team"], "a\"b\\c\nd 主机");
        let written = String::from_utf8(out).unwrap();
        assert_eq!(written, ",label_team=\"a\\\"b\\\\c\\nd 主机\"");
        assert_eq!(&*escaped("plain 主机".as_bytes()), "plain 主机".as_bytes());
        assert_eq!(&*escaped(b"a\"b"), b"a\\\"b");
    }
}
