//! One account on the status page: a line of what matters, and the rest behind it.

use jiff::Timestamp;
use maud::{Markup, html};

use super::words::{ago, count, health, span, until};
use crate::server::status::{AccountReport, CollectorReport, FailureReport, Health};

/// The names of the columns, where there is room for them.
const COLUMNS: [&str; 8] = [
    "Licences",
    "Available",
    "Used",
    "Near expiry",
    "Expired",
    "Renewal",
    "Age",
    "Next poll",
];

/// What stands above all accounts. Each number has its name beside it for who cannot see
/// that.
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
        article.account.(account.health.as_str()) {
            details { (line(account, now)) (more(account, now)) }
            (failures(account, now))
        }
    }
}

/// The same for an account whose failure is told once for several.
pub(super) fn render_alike(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        article.account.(account.health.as_str()) {
            details { (line(account, now)) (failures(account, now)) (more(account, now)) }
        }
    }
}

fn line(account: &AccountReport, now: Timestamp) -> Markup {
    let (sign, _) = health(account.health);
    html! {
        summary.line {
            span.opens aria-hidden="true" {}
            span.sign aria-hidden="true" { (sign) }
            span.who {
                b { (account.account) }
                " " small { (state(account)) }
                @for mark in marks(account) { " " span.mark { (mark) } }
            }
            (counts(account, now))
        }
    }
}

fn failures(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        @for collector in &account.collectors {
            @if let Some(failure) = &collector.failure { (failed(failure, collector, now)) }
        }
    }
}

/// The health in words, with what makes it so.
fn state(account: &AccountReport) -> String {
    let licences = &account.licences;
    let some = |number: Option<u64>| number.map(count).unwrap_or_default();
    match account.health {
        Health::Failing => match account.failure() {
            Some(failure) => format!("failing: {}", failure.reason),
            None => "failing: its values are too old".to_owned(),
        },
        Health::Expired => format!("{} expired", some(licences.expired)),
        Health::NearExpiry => match account.auto_renewal() {
            Some(false) => format!(
                "{} near expiry, not renewed by themselves",
                some(licences.near_expiry)
            ),
            _ => format!("{} near expiry", some(licences.near_expiry)),
        },
        Health::Exhausted => "none available".to_owned(),
        Health::Waiting => "not collected yet".to_owned(),
        Health::Ok => "fine".to_owned(),
    }
}

/// What else is to be known of the values.
fn marks(account: &AccountReport) -> Vec<String> {
    let collectors = || account.collectors.iter();
    let mut marks = Vec::new();
    if collectors().any(|each| each.withdrawn) {
        marks.push("values withdrawn".to_owned());
    }
    if collectors().any(|each| each.restored) {
        marks.push("restored".to_owned());
    }
    match collectors().map(|each| each.drift.len()).sum::<usize>() {
        0 => {}
        1 => marks.push("1 odd field".to_owned()),
        fields => marks.push(format!("{fields} odd fields")),
    }
    marks
}

/// The numbers that matter, each with its name.
fn counts(account: &AccountReport, now: Timestamp) -> Markup {
    let licences = &account.licences;
    let some = |number: Option<u64>| number.is_some_and(|number| number > 0);
    let none_left = licences.available == Some(0) && some(licences.total);
    let ages = account
        .collectors
        .iter()
        .filter_map(|each| each.age_seconds);
    let age = ages.reduce(f64::max);
    let next = account
        .collectors
        .iter()
        .filter_map(|each| each.next_at)
        .min();
    let class = |name, is_so| if is_so { name } else { "" };
    let values = [
        ("", number(licences.total)),
        (class("warn", none_left), number(licences.available)),
        ("", number(licences.used)),
        (
            class("warn", some(licences.near_expiry)),
            number(licences.near_expiry),
        ),
        (
            class("bad", some(licences.expired)),
            number(licences.expired),
        ),
        ("", on_or_off(account.auto_renewal())),
        (
            "",
            html! { @match age { Some(age) => (span(age)), None => (unknown()) } },
        ),
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
    html! { @match number { Some(number) => (count(number)), None => (unknown()) } }
}

fn on_or_off(switch: Option<bool>) -> Markup {
    html! {
        @match switch { Some(true) => "on", Some(false) => "off", None => (unknown()) }
    }
}

fn unknown() -> Markup {
    html! { span.unknown title="not known" { "–" } }
}

/// What `accounts` that fail alike have in common, with the message of one of them.
pub(super) fn failed_alike(accounts: usize, example: &str, failure: &FailureReport) -> Markup {
    html! {
        div.failure {
            p.what {
                b { (count(accounts as u64)) " accounts: " (failure.reason) }
                @if let Some(code) = &failure.code { " " code { (code) } }
            }
            p { "For example " b { (example) } ": " (failure.message) }
            @if let Some(id) = &failure.request_id {
                dl { div { dt { "RequestId" } dd { code { (id) } } } }
            }
            p { b { "To do: " } (prose(&failure.remedy)) "." }
        }
    }
}

fn failed(failure: &FailureReport, collector: &CollectorReport, now: Timestamp) -> Markup {
    html! {
        div.failure {
            p.what { b { (failure.reason) } ": " (failure.message) }
            dl {
                @if let Some(code) = &failure.code { div { dt { "Code" } dd { code { (code) } } } }
                @if let Some(id) = &failure.request_id {
                    div { dt { "RequestId" } dd { code { (id) } } }
                }
                div {
                    dt { "Last success" }
                    dd {
                        @match collector.last_success_at {
                            Some(at) => (ago(at, now)),
                            None => "never",
                        }
                    }
                }
            }
            p { b { "To do: " } (prose(&failure.remedy)) "." }
        }
    }
}

/// A text in which backticks set commands apart.
fn prose(text: &str) -> Markup {
    let parts = text.split('`').enumerate();
    html! {
        @for (index, part) in parts {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn more(account: &AccountReport, now: Timestamp) -> Markup {
    html! {
        div.more {
            dl {
                div {
                    dt { "Key" }
                    dd {
                        (account.credential.source)
                        @if let Some(at) = account.credential.expires_at {
                            ", expires " @if at > now { (until(at, now)) } @else { (ago(at, now)) }
                        }
                    }
                }
                div { dt { "Endpoint" } dd { (account.endpoint) } }
                @if let Some(region) = &account.region { div { dt { "Region" } dd { (region) } } }
                @for (name, value) in &account.labels {
                    div { dt { "Label " (name) } dd { (value) } }
                }
                @if let Some(word) = &account.protect_type {
                    div { dt { "New servers get" } dd { (word) } }
                }
            }
            @for each in &account.collectors { (collector(each, now)) }
            dl {
                @if let Some(number) = account.licences.not_expired {
                    div { dt { "Not expired" } dd { (count(number)) } }
                }
                @if let Some(number) = account.licences.application_available {
                    div { dt { "For applications" } dd { (count(number)) " available" } }
                }
                @if let Some(number) = account.licences.orders_destroyed {
                    div { dt { "Orders destroyed" } dd { (count(number)) } }
                }
                @for (name, edition) in &account.editions {
                    div {
                        dt { "Edition " (name) }
                        dd {
                            @if let Some(number) = edition.licences { (count(number)) " licences" }
                            @if edition.licences.is_some() && edition.available.is_some() { ", " }
                            @if let Some(number) = edition.available { (count(number)) " available" }
                        }
                    }
                }
            }
            dl {
                @for (name, on) in &account.switches {
                    div { dt { "Switch " (name) } dd { (on_or_off(Some(*on))) } }
                }
            }
        }
    }
}

fn collector(collector: &CollectorReport, now: Timestamp) -> Markup {
    let budget = &collector.budget;
    html! {
        dl {
            div { dt { "Collector" } dd { (collector.collector) } }
            div {
                dt { "Next poll" }
                dd {
                    @match (collector.collecting_since, collector.next_at) {
                        (Some(since), _) => { "under way for " (span(now.duration_since(since).as_secs_f64())) }
                        (None, Some(at)) => (until(at, now)),
                        (None, None) => (unknown()),
                    }
                }
            }
            @if let Some(at) = collector.last_attempt_at {
                div {
                    dt { "Last poll" }
                    dd {
                        (ago(at, now))
                        @if let Some(seconds) = collector.duration_seconds {
                            ", took " (format!("{seconds:.2}")) " s"
                        }
                    }
                }
            }
            div { dt { "Failed polls" } dd { (count(collector.failures)) } }
            div {
                dt { "Budget" }
                dd {
                    (budget.requests_last_minute)
                    @if budget.requests_last_minute == 1 { " request" } @else { " requests" }
                    " of this key in the last minute, " (budget.limit_per_second) "/s allowed"
                }
            }
            @for drift in &collector.drift {
                div { dt { "Odd field" } dd { code { (drift.field) } ": " (drift.kind) } }
            }
        }
    }
}
