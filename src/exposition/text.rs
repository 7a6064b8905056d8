//! The text format, version 0.0.4.

use std::fmt::Write as _;

use crate::metrics::MetricDef;

/// A family that is being written. Its head is written with its first sample, so a
/// family without samples leaves no trace.
pub(super) struct Family<'a> {
    text: &'a mut String,
    def: &'static MetricDef,
    begun: bool,
}

impl<'a> Family<'a> {
    pub(super) fn new(text: &'a mut String, def: &'static MetricDef) -> Self {
        Self {
            text,
            def,
            begun: false,
        }
    }

    pub(super) fn def(&self) -> &'static MetricDef {
        self.def
    }

    /// Writes a sample whose label values are those of the definition, in its order.
    pub(super) fn sample(&mut self, values: &[&str], value: f64) {
        self.sample_with(values, std::iter::empty(), value);
    }

    /// The same with further labels, each of a prefix, a name and a value.
    pub(super) fn sample_with<'b>(
        &mut self,
        values: &[&'b str],
        more: impl Iterator<Item = (&'static str, &'b str, &'b str)>,
        value: f64,
    ) {
        if !self.begun {
            self.begun = true;
            self.head();
        }
        self.text.push_str(self.def.name);
        let own = self.def.labels.iter().zip(values);
        let labels = own.map(|(name, value)| ("", *name, *value)).chain(more);
        let mut separator = '{';
        for (prefix, name, value) in labels {
            self.text.push(separator);
            self.text.push_str(prefix);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, value, true);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, " {value}");
    }

    fn head(&mut self) {
        let MetricDef {
            name, help, kind, ..
        } = self.def;
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(self.text, help, false);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "\n# TYPE {name} {}", kind.as_str());
    }
}

/// Appends `value` as the format wants it; quotes are escaped in label values only.
fn escape(text: &mut String, value: &str, quotes: bool) {
    let is_special = |char| char == '\\' || char == '\n' || (quotes && char == '"');
    let mut rest = value;
    while let Some((plain, special)) = rest
        .find(is_special)
        .and_then(|at| rest.split_at_checked(at))
    {
        text.push_str(plain);
        text.push('\\');
        let mut chars = special.chars();
        match chars.next() {
            Some('\n') => text.push('n'),
            Some(char) => text.push(char),
            None => {}
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    const LABELLED: &MetricDef = &MetricDef {
        name: "labelled",
        help: "Has \\ a \"quote\"\nand a line.",
        kind: Kind::Gauge,
        labels: &["one", "two"],
    };

    const BARE: &MetricDef = &MetricDef {
        name: "bare_total",
        help: "Bare.",
        kind: Kind::Counter,
        labels: &[],
    };

    #[test]
    fn labels_and_help_are_escaped_as_the_format_says() {
        let mut text = String::new();
        let mut family = Family::new(&mut text, LABELLED);
        family.sample(&["a\"b\\c\nd", "主机"], 7.5);
        let more = [("label_", "team", "x\"")];
        family.sample_with(&["", "\\"], more.into_iter(), 9_007_199_254_740_992.0);
        assert_eq!(
            text,
            "# HELP labelled Has \\\\ a \"quote\"\\nand a line.\n\
             # TYPE labelled gauge\n\
             labelled{one=\"a\\\"b\\\\c\\nd\",two=\"主机\"} 7.5\n\
             labelled{one=\"\",two=\"\\\\\",label_team=\"x\\\"\"} 9007199254740992\n"
        );
    }

    #[test]
    fn a_family_without_samples_leaves_no_trace_and_one_without_labels_no_braces() {
        let mut text = String::new();
        Family::new(&mut text, LABELLED);
        Family::new(&mut text, BARE).sample(&[], 3.0);
        assert_eq!(
            text,
            "# HELP bare_total Bare.\n# TYPE bare_total counter\nbare_total 3\n"
        );
    }
}
