//! One account on the status page: a line with the most important numbers, and details that
//! open below.

use std::collections::BTreeMap;

use maud::{Markup, Render, html};

use super::orders::{further, orders};
use super::words::{View, attention, count, fact, known_fact};
use crate::server::language::Language;
use crate::server::status::orders::{Attention, Order};
use crate::server::status::{AccountReport, CollectorReport, Edition, FailureReport, Health};

/// The names of the columns.
fn columns(words: Language) -> [&'static str; 9] {
    [
        words.licences(),
        words.available(),
        words.used(),
        words.near_expiry(),
        words.expired(),
        words.next_deadline(),
        words.renewal(),
        words.age(),
        words.next_poll(),
    ]
}

/// The heads of the columns. They are hidden from screen readers, as each number has its
/// name beside it.
pub(super) fn heads(words: Language) -> Markup {
    html! {
        div.line.heads aria-hidden="true" {
            span {} span {} span { (words.account()) }
            @for name in columns(words) { span { (name) } }
        }
    }
}

/// The account as `view` shows it.
pub(super) fn render(account: &AccountReport, view: View) -> Markup {
    html! {
        article.account.(account.health.as_str()).urgent[is_urgent(account)] {
            details { (line(account, view)) (more(account, view)) }
            (failure(account, view))
        }
    }
}

/// The same for an account of a group that fails alike, whose failure is shown once.
pub(super) fn render_alike(account: &AccountReport, view: View) -> Markup {
    html! {
        article.account.(account.health.as_str()).urgent[is_urgent(account)] {
            details { (line(account, view)) (failure(account, view)) (more(account, view)) }
        }
    }
}

/// Whether the order that makes the health of the account ends within days.
fn is_urgent(account: &AccountReport) -> bool {
    let order = account.urgent_order.as_ref();
    account.health == Health::OrderEnding
        && order.is_some_and(|order| order.attention == Attention::Now)
}

fn line(account: &AccountReport, view: View) -> Markup {
    let (sign, _) = view.words.health(account.health);
    html! {
        summary.line {
            span.opens aria-hidden="true" {}
            span.sign aria-hidden="true" { (sign) }
            span.who {
                b { (account.account) }
                " " small { (state(account, view)) }
                @for mark in marks(account, view.words) { " " span.mark { (mark) } }
            }
            (counts(account, view))
        }
    }
}

/// Why the account fails. The failures of other collectors are beside these.
fn failure(account: &AccountReport, view: View) -> Markup {
    html! {
        @for collector in account.collectors.iter().filter(|each| each.decides) {
            @if let Some(failure) = &collector.failure { (failed(failure, collector, view)) }
        }
    }
}

/// The health in words, with its cause.
fn state(account: &AccountReport, view: View) -> String {
    let (licences, words) = (&account.licences, view.words);
    let some = |number: Option<u64>| number.map(count).unwrap_or_default();
    match account.health {
        Health::Failing => {
            let reason = account.failure().map(|failure| words.term(failure.reason));
            format!("{}{}", words.fails(), reason.unwrap_or(words.too_old()))
        }
        Health::Expired => words.some_expired(some(licences.expired)),
        Health::OrderEnding => {
            let order = account.urgent_order.as_ref();
            order.map_or_else(String::new, |order| ending(order, view))
        }
        Health::NearExpiry => {
            let number = some(licences.near_expiry);
            match account.auto_renewal() {
                Some(false) => words.some_near_expiry_unrenewed(number),
                _ => words.some_near_expiry(number),
            }
        }
        Health::Exhausted => words.none_available().to_owned(),
        Health::Waiting => words.not_collected_yet().to_owned(),
        Health::Ok => words.fine().to_owned(),
    }
}

/// The end of an order in words.
fn ending(order: &Order<'_>, view: View) -> String {
    let words = view.words;
    let what = match &*order.order {
        "" => words.an_order().to_owned(),
        id => words.order_of(id),
    };
    if order.is_isolated() {
        return words.order_is_isolated(what);
    }
    let Some(at) = order.deadline else {
        return what;
    };
    let has_ended = at.0 <= view.now.as_second();
    match (order.is_overdue(), has_ended) {
        (false, false) => words.order_ends(what, view.due(at)),
        (false, true) => words.order_ended(what, view.due(at)),
        (true, false) => words.late_order_ends(what, view.due(at)),
        (true, true) => words.late_order_ended(what, view.due(at)),
    }
}

/// Remarks on the values.
fn marks(account: &AccountReport, words: Language) -> Vec<String> {
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
    let failing = failing.map(|(reason, names)| {
        let reason = words.term(reason);
        format!("{}{}{reason}", names.join(", "), words.colon())
    });
    let mut marks: Vec<String> = failing.collect();
    if collectors().any(|each| each.withdrawn) {
        marks.push(words.withdrawn().to_owned());
    }
    if collectors().any(|each| each.restored) {
        marks.push(words.restored().to_owned());
    }
    let odd = collectors().map(|each| each.drift.len()).sum();
    if odd > 0 {
        marks.push(words.odd_fields(odd));
    }
    marks
}

/// The most important numbers, each with its name.
fn counts(account: &AccountReport, view: View) -> Markup {
    let (licences, words) = (&account.licences, view.words);
    let number = |number: Option<u64>| view.known(number.map(count));
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
            view.known(account.next_deadline.map(|next| view.due(next.at))),
        ),
        (
            "",
            view.known(account.auto_renewal().map(|on| on_or_off(on, words))),
        ),
        ("", view.known(age.map(|age| words.span(age)))),
        (
            "",
            html! { @match next { Some(next) => (view.until(next)), None => (words.now()) } },
        ),
    ];
    html! {
        @for (name, (class, value)) in columns(words).into_iter().zip(values) {
            span.value.(class) { small { (name) } b { (value) } }
        }
    }
}

fn on_or_off(on: bool, words: Language) -> &'static str {
    if on { words.on() } else { words.off() }
}

/// The failure that several accounts have in common, with the message of one of them.
pub(super) fn failed_alike(
    accounts: usize,
    example: &str,
    failure: &FailureReport,
    words: Language,
) -> Markup {
    let (number, reason) = (count(accounts as u64), words.term(failure.reason));
    html! {
        div.failure {
            p.what {
                b { (words.accounts_fail(number, reason)) }
                @if let Some(code) = &failure.code { " " (Code(code)) }
            }
            p { (words.for_example()) b { (example) } (words.colon()) (failure.message) }
            @if let Some(id) = &failure.request_id { dl { (fact("RequestId", Code(id))) } }
            (to_do(failure, words))
        }
    }
}

fn failed(failure: &FailureReport, collector: &CollectorReport, view: View) -> Markup {
    let words = view.words;
    let last_success = collector.last_success_at.map(|at| view.ago(at));
    html! {
        div.failure {
            p.what { b { (words.term(failure.reason)) } (words.colon()) (failure.message) }
            dl {
                (known_fact(words.code(), failure.code.as_deref().map(Code)))
                (known_fact("RequestId", failure.request_id.as_deref().map(Code)))
                (fact(words.last_success(), last_success.unwrap_or_else(|| html! { (words.never()) })))
            }
            (to_do(failure, words))
        }
    }
}

/// The remedy, in English where there is no translation.
fn to_do(failure: &FailureReport, words: Language) -> Markup {
    let translated = match words {
        Language::English => None,
        Language::Chinese => failure.remedy_in_chinese.as_deref(),
    };
    html! {
        p {
            b { (words.to_do()) }
            @match (words, translated) {
                (Language::Chinese, None) => span lang="en" { (prose(&failure.remedy)) "." },
                (_, translated) => {
                    (prose(translated.unwrap_or(&failure.remedy))) (words.full_stop())
                }
            }
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

fn more(account: &AccountReport, view: View) -> Markup {
    let (licences, credential, words) = (&account.licences, &account.credential, view.words);
    let key = html! {
        (credential.source)
        @if let Some(at) = credential.expires_at {
            (words.expires()) @if at > view.now { (view.until(at)) } @else { (view.ago(at)) }
        }
    };
    let application = licences.application_available;
    let application = application.map(|number| words.some_available(count(number)));
    let protect_type = account.protect_type.as_ref();
    html! {
        div.more {
            dl {
                (fact(words.key(), key))
                (fact(words.endpoint(), &account.endpoint))
                (known_fact(words.region(), account.region.as_ref()))
                @for (name, value) in &account.labels { (fact(words.label(name), value)) }
                (known_fact(words.new_servers_get(), protect_type))
            }
            (orders(account, view))
            (further(account, view))
            @for each in &account.collectors { (collector(each, view)) }
            dl {
                (known_fact(words.not_expired(), licences.not_expired.map(count)))
                (known_fact(words.for_applications(), application))
                (known_fact(words.orders_destroyed(), licences.orders_destroyed.map(count)))
                @for (name, edition) in &account.editions {
                    (fact(words.edition(words.term(name)), edition_counts(edition, words)))
                }
            }
            dl {
                @for (name, on) in &account.switches {
                    (fact(words.switch(words.term(name)), on_or_off(*on, words)))
                }
            }
        }
    }
}

fn edition_counts(edition: &Edition, words: Language) -> String {
    let (licences, available) = (edition.licences, edition.available);
    let licences = licences.map(|number| words.some_licences(count(number)));
    let available = available.map(|number| words.some_available(count(number)));
    let counts: Vec<_> = licences.into_iter().chain(available).collect();
    counts.join(words.comma())
}

fn collector(collector: &CollectorReport, view: View) -> Markup {
    let (words, budget) = (view.words, &collector.budget);
    let used = words.requests(budget.requests_last_minute as usize);
    let per_day = count(budget.requests_per_day);
    let next = collector.next_at.map(|at| view.until(at));
    let running = collector.collecting_since.map(|since| {
        let seconds = view.now.duration_since(since).as_secs_f64();
        html! { (words.under_way()) (words.span(seconds)) }
    });
    let duration = collector.duration_seconds;
    let last = collector.last_attempt_at.map(|at| {
        html! {
            (view.ago(at))
            @if let Some(seconds) = duration { (words.took(format_args!("{seconds:.2}"))) }
        }
    });
    let age = collector.age_seconds.map(|age| words.span(age));
    html! {
        dl {
            (fact(words.collector(), collector.collector))
            (fact(words.next_poll(), view.known(running.or(next))))
            (known_fact(words.last_poll(), last))
            (known_fact(words.age(), age))
            (fact(words.failed_polls(), count(collector.failures)))
            (fact(words.budget(), words.budget_use(used, budget.limit_per_second, per_day)))
            @for drift in &collector.drift {
                (fact(words.odd_field(), html! {
                    (Code(&drift.field)) (words.colon()) (words.term(drift.kind.as_str()))
                }))
            }
        }
        @if let (false, Some(failure)) = (collector.decides, &collector.failure) {
            (failed(failure, collector, view))
        }
    }
}
