//! Facts, numbers, times and states in words.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, Render, html};

use crate::server::status::Health;

/// A fact in a list of facts.
pub(super) fn fact(name: impl Render, value: impl Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The same, if the value is known.
pub(super) fn known_fact(name: impl Render, value: Option<impl Render>) -> Markup {
    html! { @if let Some(value) = value { (fact(name, value)) } }
}

/// `count` with a comma at each thousand.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in its two largest units, in whole seconds: `3 h 12 min`.
pub(super) fn span(seconds: f64) -> String {
    let span = SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let seconds = span.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")];
    let mut parts = parts.into_iter().skip_while(|(number, _)| *number == 0);
    let Some((number, unit)) = parts.next() else {
        return "0 s".to_owned();
    };
    match parts.next() {
        Some((less, smaller)) if less > 0 => format!("{number} {unit} {less} {smaller}"),
        _ => format!("{number} {unit}"),
    }
}

/// How long `then` is ago, with the exact time as a tooltip.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.duration_since(then).as_secs_f64();
    html! { (time(then, &format!("{} ago", span(seconds)))) }
}

/// The time until `then`, with the exact time as a tooltip.
pub(super) fn until(then: Timestamp, now: Timestamp) -> Markup {
    let seconds = then.duration_since(now).as_secs_f64();
    html! { (time(then, &format!("in {}", span(seconds)))) }
}

fn time(at: Timestamp, words: &str) -> Markup {
    let exact = format!("{at:.0}");
    html! { time datetime=(exact) title=(exact) { (words) } }
}

/// A health as a sign and a word, as not everybody can tell colours apart.
pub(super) fn health(health: Health) -> (&'static str, &'static str) {
    match health {
        Health::Failing => ("✕", "Failing"),
        Health::Expired => ("■", "Expired"),
        Health::NearExpiry => ("▲", "Near expiry"),
        Health::Exhausted => ("◆", "None available"),
        Health::Waiting => ("○", "Waiting"),
        Health::Ok => ("✓", "Fine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_spans_read_well() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
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
