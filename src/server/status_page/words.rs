//! Facts, numbers, times and states as a page shows them.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use crate::server::status::Health;
use crate::server::status::orders::{Attention, Moment};
use crate::system::words::span;

/// This page.
pub(super) const HOME: &str = "./";

/// A link from this page to a path of the exporter.
pub(super) fn relative(path: &str) -> String {
    // With the dot, no colon in the path makes it another scheme.
    format!("{HOME}{}", path.trim_start_matches('/'))
}

/// The class of what needs this attention.
pub(super) fn attention(attention: Attention) -> &'static str {
    match attention {
        Attention::None => "",
        Attention::Soon => "warn",
        Attention::Now => "bad",
    }
}

/// The value, or a dash.
pub(super) fn known(value: Option<impl Render>) -> Markup {
    html! {
        @match value { Some(value) => (value), None => span.unknown title="not known" { "–" } }
    }
}

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

/// When a deadline is, in days or hours where there are several.
pub(super) fn due(deadline: Moment, now: Timestamp) -> String {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let left = deadline.0.saturating_sub(now.as_second());
    let words = match left.unsigned_abs() {
        long if long >= 2 * DAY => format!("{} d", count(long / DAY)),
        long if long >= 2 * HOUR => format!("{} h", long / HOUR),
        short => span(short as f64),
    };
    match left {
        0.. => format!("in {words}"),
        _ => format!("{words} ago"),
    }
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
        Health::OrderEnding => ("●", "Order ends"),
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
    fn a_deadline_is_told_in_days_or_hours_unless_it_is_near() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (left, text) in [
            (0, "in 0 s"),
            (93_600, "in 26 h"),
            (172_800, "in 2 d"),
            (100_000_000, "in 1,157 d"),
            (-90, "1 min 30 s ago"),
            (-864_000, "10 d ago"),
        ] {
            assert_eq!(due(Moment(1_000_000_000 + left), now), text);
        }
        assert!(due(Moment(i64::MIN), now).ends_with(" d ago"));
    }

    #[test]
    fn counts_have_a_comma_at_each_thousand() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }
}
