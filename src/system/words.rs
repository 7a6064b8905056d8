//! Numbers and durations in words.

use jiff::SignedDuration;

/// A number of things, such as `1 account` or `2 accounts`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A duration in its two largest units, in whole seconds: `3 h 12 min`.
#[must_use]
pub fn span(seconds: f64) -> String {
    span_in(seconds, ["d", "h", "min", "s"])
}

/// The same with other names of a day, an hour, a minute and a second.
#[must_use]
pub fn span_in(seconds: f64, [day, hour, minute, second]: [&str; 4]) -> String {
    let span = SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let seconds = span.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let parts = [
        (days, day),
        (hours, hour),
        (minutes, minute),
        (rest, second),
    ];
    let mut parts = parts.into_iter().skip_while(|(number, _)| *number == 0);
    let Some((number, unit)) = parts.next() else {
        return format!("0 {second}");
    };
    match parts.next() {
        Some((less, smaller)) if less > 0 => format!("{number} {unit} {less} {smaller}"),
        _ => format!("{number} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(counted(1, "account"), "1 account");
        assert_eq!(counted(0, "account"), "0 accounts");
        assert_eq!(counted(2, "account"), "2 accounts");
    }

    #[test]
    fn a_duration_has_at_most_two_units() {
        for (seconds, text) in [
            (-5.0, "0 s"),
            (0.4, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (61.0, "1 min 1 s"),
            (3_600.0, "1 h"),
            (11_520.0, "3 h 12 min"),
            (93_600.0, "1 d 2 h"),
            (86_460.0, "1 d"),
            (f64::NAN, "0 s"),
            (f64::INFINITY, "0 s"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
    }
}
