//! The formats of the exposition: heads, labels and numbers of each.

use std::borrow::Cow;

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
    pub(super) fn head(self, def: &MetricDef, out: &mut String) {
        let kind = def.kind.as_str();
        match self {
            Self::Text => {
                line(out, ["# HELP ", def.name, " "]);
                escape(out, def.help, false);
                line(out, ["\n# TYPE ", def.name, " ", kind, "\n"]);
            }
            Self::OpenMetrics => {
                let family = def.family();
                line(out, ["# TYPE ", family, " ", kind, "\n"]);
                if let Some(unit) = def.unit() {
                    line(out, ["# UNIT ", family, " ", unit, "\n"]);
                }
                line(out, ["# HELP ", family, " "]);
                escape(out, def.help, true);
                out.push('\n');
            }
        }
    }

    /// Appends a bucket's bound, which OpenMetrics wants to look like a float.
    pub(super) fn bound(self, bound: f64, out: &mut String) {
        if self == Self::OpenMetrics && bound.is_finite() {
            out.push_str(zmij::Buffer::new().format_finite(bound));
        } else {
            number(bound, out);
        }
    }

    /// What ends the exposition.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
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

/// Appends a label and its value; `separator` is `{` before the first, otherwise a comma.
pub(super) fn label(out: &mut String, separator: char, name: [&str; 2], value: &str) {
    out.push(separator);
    line(out, [name[0], name[1], "=\""]);
    out.push_str(&escaped(value));
    out.push('"');
}

/// Appends a sample's value. Whole numbers are written as such, all others with as
/// few digits as tell them apart.
pub(super) fn number(value: f64, out: &mut String) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whether something is lost is just what is asked"
    )]
    if value.abs() < 1e16 && value as i64 as f64 == value {
        out.push_str(itoa::Buffer::new().format(value as i64));
    } else if value.is_finite() {
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else if value.is_nan() {
        out.push_str("NaN");
    } else {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
}

/// `value` as it stands between quotes.
pub(super) fn escaped(value: &str) -> Cow<'_, str> {
    let is_plain = |byte| !matches!(byte, b'\\' | b'\n' | b'"');
    if value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    escape(&mut escaped, value, true);
    Cow::Owned(escaped)
}

/// Appends `value` with backslashes and line ends escaped, and quotes if told so.
fn escape(out: &mut String, value: &str, quotes: bool) {
    let is_special = |char| char == '\\' || char == '\n' || (quotes && char == '"');
    let mut rest = value;
    while let Some((plain, special)) = rest
        .find(is_special)
        .and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(plain);
        out.push('\\');
        let mut chars = special.chars();
        match chars.next() {
            Some('\n') => out.push('n'),
            Some(char) => out.push(char),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn line<const N: usize>(out: &mut String, pieces: [&str; N]) {
    for piece in pieces {
        out.push_str(piece);
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
        let mut out = String::new();
        format.head(def, &mut out);
        out
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
            let mut out = String::new();
            number(value, &mut out);
            out
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
            let mut out = String::new();
            format.bound(value, &mut out);
            out
        };
        assert_eq!(bound(Format::Text, 10.0), "10");
        assert_eq!(bound(Format::OpenMetrics, 10.0), "10.0");
        assert_eq!(bound(Format::OpenMetrics, 0.025), "0.025");
        assert_eq!(bound(Format::OpenMetrics, f64::INFINITY), "+Inf");
    }

    #[test]
    fn label_values_are_escaped_and_nothing_else_is_touched() {
        let mut out = String::new();
        label(&mut out, '{', ["label_", "team"], "a\"b\\c\nd 主机");
        assert_eq!(out, "{label_team=\"a\\\"b\\\\c\\nd 主机\"");
        assert_eq!(escaped("plain 主机"), "plain 主机");
        assert_eq!(escaped("a\"b"), "a\\\"b");
    }
}
