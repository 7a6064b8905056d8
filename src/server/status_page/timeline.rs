//! The orders of an account as a timeline of the next twelve months: an SVG without a script.
//!
//! Places are percentages of the width, so that texts keep their size on every screen. Signs
//! and dashes say what colours say, too.

use jiff::civil::{DateTime, Time};
use jiff::{SignedDuration, ToSpan as _};
use maud::{Markup, html};

use super::words::{View, attention, count};
use crate::server::language::Language;
use crate::server::status::orders::{Moment, Order};

/// The most orders that are drawn.
const MOST_LANES: usize = 30;

const DAY: i64 = 86_400;

/// The time before now that is drawn, in seconds: isolated orders are kept for so long.
const BEFORE: i64 = 30 * DAY;

/// The time that is drawn in all, in seconds.
const WHOLE: i64 = BEFORE + 365 * DAY;

/// The height of a lane, and of the names of the months above the lanes, in pixels.
const LANE: usize = 34;
const HEAD: usize = 20;

/// The orders that have a deadline, the next one first.
pub(super) fn timeline(orders: &[Order<'_>], view: View) -> Markup {
    let ending = || {
        orders
            .iter()
            .filter_map(|order| Some((order, order.deadline?)))
    };
    let all = ending().count();
    let lanes = all.min(MOST_LANES);
    let (now_seconds, words) = (view.now.as_second(), view.words);
    let height = HEAD + lanes * LANE;
    let today = place(now_seconds, now_seconds);
    let legend = [
        ("■", words.ends_here()),
        ("○", words.renews_itself()),
        ("◇", words.trial_or_gift()),
        ("✕", words.isolated()),
        ("→", words.ends_later()),
    ];
    html! {
        @if lanes > 0 {
            svg.timeline role="img" width="100%" height=(height)
                aria-label=(words.drawing()) {
                @for (month, name) in months(view) {
                    line.month x1=(month) x2=(month) y1=(HEAD) y2=(height) {}
                    @if let Some(name) = name { text.month x=(month) y="13" { (name) } }
                }
                line.today x1=(today) x2=(today) y1="4" y2=(height) {}
                @for (index, (order, deadline)) in ending().take(lanes).enumerate() {
                    (lane(order, deadline, HEAD + index * LANE, view))
                }
            }
            p.legend {
                @for (sign, meaning) in legend {
                    span { span.sign aria-hidden="true" { (sign) } " " (meaning) } " "
                }
                span { "┃ " (words.today()) }
            }
            @if all > lanes { p { (words.undrawn_orders(count((all - lanes) as u64))) } }
        }
    }
}

fn lane(order: &Order<'_>, deadline: Moment, top: usize, view: View) -> Markup {
    let (now_seconds, words) = (view.now.as_second(), view.words);
    let begin = order.purchase.map_or(i64::MIN, |at| at.0);
    let (begin, end) = (place(begin, now_seconds), place(deadline.0, now_seconds));
    let is_later = deadline.0 > now_seconds + WHOLE - BEFORE;
    let sign = if is_later { "→" } else { sign(order) };
    let (text, bar) = (top + 14, top + 25);
    let licences = order.licences.map(|number| format!("{} × ", count(number)));
    let name = if order.alias.is_empty() {
        &order.order
    } else {
        &order.alias
    };
    html! {
        g.(attention(order.attention)) {
            title { (order.order) " " (renewal(order, words)) (words.ends(view.due(deadline))) }
            text x=(place(now_seconds, now_seconds)) dx="6" y=(text) {
                (licences.unwrap_or_default()) (words.term(order.edition_name())) " "
                tspan.name { (name) }
            }
            line.term x1=(begin) x2=(end) y1=(bar) y2=(bar) {}
            @if order.renews_itself() && !order.is_overdue() && !is_later {
                line.renewed x1=(end) x2="100%" y1=(bar) y2=(bar) {}
            }
            // Inside the drawing at its edges.
            text.sign x=(end) y=(bar + 5) text-anchor=(if is_later { "end" } else { "middle" }) { (sign) }
        }
    }
}

/// The sign for what happens to an order at its deadline.
pub(super) fn sign(order: &Order<'_>) -> &'static str {
    if order.is_isolated() {
        "✕"
    } else if order.is_trial() {
        "◇"
    } else if order.renews_itself() && !order.is_overdue() {
        "○"
    } else {
        "■"
    }
}

/// The same in words.
pub(super) fn renewal(order: &Order<'_>, words: Language) -> &'static str {
    if order.is_isolated() {
        words.is_isolated()
    } else if order.is_overdue() {
        words.not_renewed_yet()
    } else if order.renews_itself() {
        words.renews_itself()
    } else if order.is_trial() {
        words.trial_or_gift()
    } else {
        words.nothing_renews()
    }
}

/// Where `seconds`, in Unix time, is drawn, as a part of the width.
fn place(seconds: i64, now: i64) -> String {
    let since = seconds.saturating_sub(now.saturating_sub(BEFORE));
    let part = since.clamp(0, WHOLE) as f64 / WHOLE as f64;
    format!("{:.2}%", part * 100.0)
}

/// Where the months begin, and the name of every third.
fn months(view: View) -> impl Iterator<Item = (String, Option<String>)> {
    let seconds = view.now.as_second();
    let begin = Moment(seconds - BEFORE).utc().date().first_of_month();
    let dates = (1..=13).filter_map(move |month| begin.checked_add(month.months()).ok());
    dates.map(move |date| {
        let at: SignedDuration = date
            .to_datetime(Time::midnight())
            .duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        let name = (date.month() % 3 == 1).then(|| view.words.month(date));
        (place(at.as_secs(), seconds), name)
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const NOON: &str = "2026-11-26T12:00:00Z";

    fn order(id: &str, days: i64) -> Order<'_> {
        let now: Timestamp = NOON.parse().unwrap();
        Order {
            order: id.into(),
            source: "paid".into(),
            status: "normal".into(),
            deadline: Some(Moment(now.as_second() + days * DAY)),
            ..Order::default()
        }
    }

    fn drawn(orders: &[Order<'_>]) -> String {
        let (words, now) = (Language::English, NOON.parse().unwrap());
        timeline(orders, View { words, now }).into_string()
    }

    #[test]
    fn without_a_deadline_nothing_is_drawn() {
        assert_eq!(drawn(&[]), "");
        let endless = Order {
            deadline: None,
            ..order("a", 1)
        };
        assert_eq!(drawn(&[endless]), "");
    }

    #[test]
    fn a_deadline_is_drawn_at_its_place_and_texts_are_escaped() {
        let odd = Order {
            alias: "\"<i>&'\u{202e}\u{1f600}".into(),
            ..order("a", 365)
        };
        let svg = drawn(&[order("b", 0), odd, order("c", 999_999), order("d", -400)]);
        assert!(svg.contains("x2=\"7.59%\" y1=\"45\""), "{svg}");
        assert!(svg.contains("x2=\"100.00%\" y1=\"79\""), "{svg}");
        assert!(
            svg.contains("&quot;&lt;i&gt;&amp;'\u{202e}\u{1f600}"),
            "{svg}"
        );
        assert_eq!(svg.matches("→").count(), 2, "one, and the legend: {svg}");
        assert!(svg.contains("x2=\"0.00%\""), "{svg}");
        assert!(
            svg.contains(">Jan 2027<") && svg.contains(">Oct 2027<"),
            "{svg}"
        );
        assert!(!svg.contains(">Dec"), "{svg}");
    }

    #[test]
    fn of_many_orders_some_are_drawn_and_the_others_counted() {
        let ids: Vec<String> = (0..530).map(|number| number.to_string()).collect();
        let orders: Vec<_> = ids.iter().map(|id| order(id, 1)).collect();
        let svg = drawn(&orders);
        assert_eq!(svg.matches("<g ").count(), MOST_LANES);
        assert!(
            svg.contains("500 orders with later deadlines are not drawn."),
            "{svg}"
        );
    }
}
