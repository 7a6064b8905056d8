//! Rules and routes at a faster pace: a demonstration cannot wait for an hour.

use std::fmt::Write as _;

use serde_json::Value;

/// The keys of rule files and of Alertmanager's configuration that hold a duration.
const DURATIONS: [&str; 6] = [
    "for",
    "keep_firing_for",
    "interval",
    "group_wait",
    "group_interval",
    "repeat_interval",
];

/// The units of Prometheus' durations, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// Divides every duration in `document`, a rule file or Alertmanager's configuration,
/// by `pace`: those of its own keys and those in the rules' expressions. An expression
/// that asks for the `time()` compares seconds, so these are divided as well.
pub(super) fn quicken(document: &mut Value, pace: u32) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(|item| quicken(item, pace)),
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(text) if key == "expr" || DURATIONS.contains(&key.as_str()) => {
                        *text = quickened(text, pace);
                    }
                    value => quicken(value, pace),
                }
            }
        }
        _ => {}
    }
}

/// `text` with its durations divided. What is quoted, a comment or part of a name stays.
fn quickened(text: &str, pace: u32) -> String {
    let compares_seconds = text.contains("time()");
    let mut quick = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' | '\'' | '`' => quoted(rest, first),
            '#' => until(rest, |char| char == '\n'),
            _ if is_word(first) => until(rest, |char| !is_word(char)),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(token).unwrap_or((rest, ""));
        let is_compared = compares_seconds && quick.trim_end().ends_with(['<', '>']);
        // Writing to a String cannot fail.
        match (milliseconds(token), token.parse::<f64>()) {
            (Some(long), _) => {
                let _ = write!(quick, "{}ms", long.div_ceil(u64::from(pace.max(1))));
            }
            (None, Ok(seconds)) if is_compared => {
                let _ = write!(quick, "{}", seconds / f64::from(pace.max(1)));
            }
            _ => quick.push_str(token),
        }
        rest = after;
    }
    quick
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '.')
}

fn until(text: &str, is_end: impl Fn(char) -> bool) -> usize {
    text.find(is_end).unwrap_or(text.len())
}

/// The length of the string that `text` begins with, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        if !escaped && char == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && char == '\\' && quote != '`';
    }
    text.len()
}

/// How long a duration such as `1h30m` is; nothing if `text` is something else.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = until(rest, |char| !char.is_ascii_digit());
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = until(after, |char| char.is_ascii_digit());
        let (unit, after) = after.split_at_checked(unit)?;
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_divided_wherever_they_are_and_nothing_else_is() {
        for (expr, quick) in [
            ("rate(x[5m])", "rate(x[5000ms])"),
            (
                "max_over_time(x[1h30m:1m] offset 2d)",
                "max_over_time(x[90000ms:1000ms] offset 2880000ms)",
            ),
            (
                "x5m > 5 and on (job) y:x:rate_5m",
                "x5m > 5 and on (job) y:x:rate_5m",
            ),
            (
                r#"x{a="5m",b='\'5m'} > 1.5e3"#,
                r#"x{a="5m",b='\'5m'} > 1.5e3"#,
            ),
            ("x # within 5m\n> 0", "x # within 5m\n> 0"),
            ("x{a=~\"主机.*\"} < 0x5d", "x{a=~\"主机.*\"} < 0x5d"),
        ] {
            assert_eq!(quickened(expr, 60), quick);
        }
    }

    #[test]
    fn rules_and_routes_are_quickened_and_their_labels_are_not() {
        let mut document = json!({
            "groups": [{"interval": "1m", "rules": [{
                "expr": "x[1h] > 0",
                "for": "1h",
                "keep_firing_for": "0s",
                "labels": {"within": "1h"},
            }, {
                "expr": "time() - x > 900 and up == 0",
            }]}],
            "route": {"group_wait": "30s", "routes": [{"repeat_interval": "1d"}]},
        });
        quicken(&mut document, 60);
        assert_eq!(
            document,
            json!({
                "groups": [{"interval": "1000ms", "rules": [{
                    "expr": "x[60000ms] > 0",
                    "for": "60000ms",
                    "keep_firing_for": "0ms",
                    "labels": {"within": "1h"},
                }, {
                    "expr": "time() - x > 15 and up == 0",
                }]}],
                "route": {"group_wait": "500ms", "routes": [{"repeat_interval": "1440000ms"}]},
            })
        );
    }
}
