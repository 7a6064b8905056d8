//! One account on the status page: a line with the most important numbers, and details that
//! open below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::orders::{further, orders};
use super::words::{ago, attention, count, due, fact, health, known, known_fact, until};
use crate::server::status::orders::{Attention, Order};
use crate::server::status::{AccountReport, CollectorReport, Edition, FailureReport, Health};
use crate::system::words::{counted, span};

/// The names of the columns.
const COLUMNS: [&str; 9] = [
    "Licences",
    "Available",
    "Used",
    "Near expiry",
    "Expired",
    "Next deadline",
    "Renewal",
    "Age",
    "Next poll",
];

/// The heads of the columns. They are hidden from screen readers, as each number has its
/// name beside it.
pub(super) fn heads() -> Markup {
    html! {
        div.line.heads aria-hidden="true" {
            span {} span {} span { "Account" }
            @for name in COLUMNS { span { (name) } }
        }
    }
}

/// The account as of `now`.
pub(super) fn render(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        article.account.(account.health.as_str()).urgent[is_urgent(account)] {
            details { (line(account, now)) (more(account, now)) }
            (failure(account, now))
        }
    }
}

/// The same for an account of a group that fails alike, whose failure is shown once.
pub(super) fn render_alike(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        article.account.(account.health.as_str()).urgent[is_urgent(account)] {
            details { (line(account, now)) (failure(account, now)) (more(account, now)) }
        }
    }
}

/// Whether the order that makes the health of the account ends within days.
fn is_urgent(account: &AccountReport) -> bool {
    let order = account.urgent_order.as_ref();
    account.health == Health::OrderEnding
        && order.is_some_and(|order| order.attention == Attention::Now)
}

fn line(account: &AccountReport, now: Timestamp) -> Markup {
    let (sign, _) = health(account.health);
    html! {
        summary.line {
            span.opens aria-hidden="true" {}
            span.sign aria-hidden="true" { (sign) }
            span.who {
                b { (account.account) }
                " " small { (state(account, now)) }
                @for mark in marks(account) { " " span.mark { (mark) } }
            }
            (counts(account, now))
        }
    }
}

/// Why the account fails. The failures of other collectors are beside these.
fn failure(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        @for collector in account.collectors.iter().filter(|each| each.decides) {
            @if let Some(failure) = &collector.failure { (failed(failure, collector, now)) }
        }
    }
}

/// The health in words, with its cause.
fn state(account: &AccountReport, now: Timestamp) -> String {
    let licences = &account.licences;
    let some = |number: Option<u64>| number.map(count).unwrap_or_default();
    match account.health {
        Health::Failing => match account.failure() {
            Some(failure) => format!("failing: {}", failure.reason),
            None => "failing: its values are too old".to_owned(),
        },
        Health::Expired => format!("{} expired", some(licences.expired)),
        Health::OrderEnding => {
            let order = account.urgent_order.as_ref();
            order.map_or_else(String::new, |order| ending(order, now))
        }
        Health::NearExpiry => {
            let renewal = match account.auto_renewal() {
                Some(false) => ", not renewed by themselves",
                _ => "",
            };
            format!("{} near expiry{renewal}", some(licences.near_expiry))
        }
        Health::Exhausted => "none available".to_owned(),
        Health::Waiting => "not collected yet".to_owned(),
        Health::Ok => "fine".to_owned(),
    }
}

/// The end of an order in words.
fn ending(order: &Order<'_>, now: Timestamp) -> String {
    let what = match &*order.order {
        "" => "an order".to_owned(),
        id => format!("order {id}"),
    };
    if order.is_isolated() {
        return format!("{what} is isolated");
    }
    let overdue = if order.is_overdue() {
        " was not renewed yet,"
    } else {
        ""
    };
    match order.deadline {
        Some(at) if at.0 <= now.as_second() => format!("{what}{overdue} ended {}", due(at, now)),
        Some(at) => format!("{what}{overdue} ends {}", due(at, now)),
        None => what,
    }
}

/// Remarks on the values.
fn marks(account: &AccountReport) -> Vec<String> {
    let collectors = || account.collectors.iter();
    let mut failing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let known = account.failure().map(|failure| failure.reason);
    for collector in collectors().filter(|each| !each.decides) {
        let reason = collector.failure.as_ref().map(|failure| failure.reason);
        if let Some(reason) = reason.filter(|reason| Some(*reason) != known) {
            failing.entry(reason).or_default().push(collector.collector);
        }
    }
    let failing = failing.into_iter();
    let failing = failing.map(|(reason, names)| format!("{}: {reason}", names.join(", ")));
    let mut marks: Vec<String> = failing.collect();
    if collectors().any(|each| each.withdrawn) {
        marks.push("values withdrawn".to_owned());
    }
    if collectors().any(|each| each.restored) {
        marks.push("restored".to_owned());
    }
    let odd = collectors().map(|each| each.drift.len()).sum();
    if odd > 0 {
        marks.push(counted(odd, "odd field"));
    }
    marks
}

/// The most important numbers, each with its name.
fn counts(account: &AccountReport, now: Timestamp) -> Markup {
    let licences = &account.licences;
    let some = |number: Option<u64>| number.is_some_and(|number| number > 0);
    let none_left = licences.available == Some(0) && some(licences.total);
    let (near_expiry, expired) = (licences.near_expiry, licences.expired);
    // Other collectors have their own ages, which the details show.
    let collectors = || account.collectors.iter().filter(|each| each.decides);
    let age = collectors()
        .filter_map(|each| each.age_seconds)
        .reduce(f64::max);
    let next = collectors().filter_map(|each| each.next_at).min();
    let class = |name, applies| if applies { name } else { "" };
    let values = [
        ("", number(licences.total)),
        (class("warn", none_left), number(licences.available)),
        ("", number(licences.used)),
        (class("warn", some(near_expiry)), number(near_expiry)),
        (class("bad", some(expired)), number(expired)),
        (
            account
                .next_deadline
                .map_or("", |next| attention(next.attention)),
            known(account.next_deadline.map(|next| due(next.at, now))),
        ),
        ("", on_or_off(account.auto_renewal())),
        ("", known(age.map(span))),
        (
            "",
            html! { @match next { Some(next) => (until(next, now)), None => "now" } },
        ),
    ];
    html! {
        @for (name, (class, value)) in COLUMNS.into_iter().zip(values) {
            span.value.(class) { small { (name) } b { (value) } }
        }
    }
}

fn number(number: Option<u64>) -> Markup {
    known(number.map(count))
}

fn on_or_off(switch: Option<bool>) -> Markup {
    known(switch.map(|on| if on { "on" } else { "off" }))
}

/// The failure that several accounts have in common, with the message of one of them.
pub(super) fn failed_alike(accounts: usize, example: &str, failure: &FailureReport) -> Markup {
    html! {
        div.failure {
            p.what {
                b { (count(accounts as u64)) " accounts: " (failure.reason) }
                @if let Some(code) = &failure.code { " " (Code(code)) }
            }
            p { "For example " b { (example) } ": " (failure.message) }
            @if let Some(id) = &failure.request_id { dl { (fact("RequestId", Code(id))) } }
            p { b { "To do: " } (prose(&failure.remedy)) "." }
        }
    }
}

fn failed(failure: &FailureReport, collector: &CollectorReport, now: Timestamp) -> Markup {
    let last_success = collector.last_success_at.map(|at| ago(at, now));
    html! {
        div.failure {
            p.what { b { (failure.reason) } ": " (failure.message) }
            dl {
                (known_fact("Code", failure.code.as_deref().map(Code)))
                (known_fact("RequestId", failure.request_id.as_deref().map(Code)))
                (fact("Last success", last_success.unwrap_or_else(|| html! { "never" })))
            }
            p { b { "To do: " } (prose(&failure.remedy)) "." }
        }
    }
}

/// A word of the API.
struct Code<'a>(&'a str);

impl Render for Code<'_> {
    fn render(&self) -> Markup {
        html! { code { (self.0) } }
    }
}

/// A text with commands in backticks.
fn prose(text: &str) -> Markup {
    let parts = text.split('`').enumerate();
    html! {
        @for (index, part) in parts {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn more(account: &AccountReport, now: Timestamp) -> Markup {
    let (licences, credential) = (&account.licences, &account.credential);
    let key = html! {
        (credential.source)
        @if let Some(at) = credential.expires_at {
            ", expires " @if at > now { (until(at, now)) } @else { (ago(at, now)) }
        }
    };
    let application = licences
        .application_available
        .map(|number| format!("{} available", count(number)));
    html! {
        div.more {
            dl {
                (fact("Key", key))
                (fact("Endpoint", &account.endpoint))
                (known_fact("Region", account.region.as_ref()))
                @for (name, value) in &account.labels { (fact(format!("Label {name}"), value)) }
                (known_fact("New servers get", account.protect_type.as_ref()))
            }
            (orders(account, now))
            (further(account, now))
            @for each in &account.collectors { (collector(each, now)) }
            dl {
                (known_fact("Not expired", licences.not_expired.map(count)))
                (known_fact("For applications", application))
                (known_fact("Orders destroyed", licences.orders_destroyed.map(count)))
                @for (name, edition) in &account.editions {
                    (fact(format!("Edition {name}"), edition_counts(edition)))
                }
            }
            dl {
                @for (name, on) in &account.switches {
                    (fact(format!("Switch {name}"), on_or_off(Some(*on))))
                }
            }
        }
    }
}

fn edition_counts(edition: &Edition) -> String {
    let licences = edition
        .licences
        .map(|number| format!("{} licences", count(number)));
    let available = edition
        .available
        .map(|number| format!("{} available", count(number)));
    let counts: Vec<_> = licences.into_iter().chain(available).collect();
    counts.join(", ")
}

fn collector(collector: &CollectorReport, now: Timestamp) -> Markup {
    let (used, limit) = (
        counted(collector.budget.requests_last_minute as usize, "request"),
        collector.budget.limit_per_second,
    );
    let per_day = count(collector.budget.requests_per_day);
    let next = collector.next_at.map(|at| until(at, now));
    let running = collector.collecting_since.map(|since| {
        let seconds = now.duration_since(since).as_secs_f64();
        html! { "under way for " (span(seconds)) }
    });
    let last = collector.last_attempt_at.map(|at| html! {
        (ago(at, now))
        @if let Some(seconds) = collector.duration_seconds { ", took " (format!("{seconds:.2}")) " s" }
    });
    html! {
        dl {
            (fact("Collector", collector.collector))
            (fact("Next poll", known(running.or(next))))
            (known_fact("Last poll", last))
            (known_fact("Age", collector.age_seconds.map(span)))
            (fact("Failed polls", count(collector.failures)))
            (fact("Budget", format!("{used} of this key in the last minute, {limit}/s allowed; {per_day} a day for this account")))
            @for drift in &collector.drift {
                (fact("Odd field", html! { (Code(&drift.field)) ": " (drift.kind.as_str()) }))
            }
        }
        @if let (false, Some(failure)) = (collector.decides, &collector.failure) {
            (failed(failure, collector, now))
        }
    }
}
