//! The orders of an account, its log service and its servers: a timeline, a table and facts.

use jiff::Timestamp;
use maud::{Markup, html};
use url::form_urlencoded;

use super::timeline::{self, timeline};
use super::words::{ago, attention, count, due, fact, known, known_fact, relative};
use crate::collectors::Collector as _;
use crate::collectors::license_list::LicenseList;
use crate::server::calendar;
use crate::server::status::orders::{Moment, Order};
use crate::server::status::{AccountReport, CollectorReport, LogService, Servers};

/// The most orders in the table of an account.
const MOST_ROWS: usize = 50;

/// The orders of `account`, if they are collected.
pub(super) fn orders(account: &AccountReport, now: Timestamp) -> Markup {
    let mut collectors = account.collectors.iter();
    let collector = collectors.find(|each| each.collector == LicenseList.name());
    html! {
        @if let Some(collector) = collector {
            section.orders aria-label="Orders" {
                p {
                    b { "Orders" } " " small { (reading(collector, now)) }
                    @if collector.last_success_at.is_some() {
                        " " a href=(to_calendar(&account.account)) { "Calendar" }
                    }
                }
                @if let Some(orders) = &account.orders { (list(orders, collector, now)) }
            }
        }
    }
}

/// A link to the calendar of one account.
fn to_calendar(account: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("account", account);
    format!("{}?{}", relative(calendar::PATH), query.finish())
}

/// How old the list of orders is, and why there is none.
fn reading(collector: &CollectorReport, now: Timestamp) -> Markup {
    let failure = collector.failure.as_ref();
    html! {
        @match collector.last_success_at {
            Some(at) if collector.withdrawn => { "last read " (ago(at, now)) ", too long ago to be shown" }
            Some(at) => { "read " (ago(at, now)) }
            None if failure.is_some() => "could not be read yet",
            None => "not read yet",
        }
        @if let Some(failure) = failure { "; reading fails: " (failure.reason) ", see below" }
    }
}

fn list(orders: &[Order<'_>], collector: &CollectorReport, now: Timestamp) -> Markup {
    let further = orders.len().saturating_sub(MOST_ROWS);
    let hidden = collector.rows_hidden.unwrap_or_default();
    html! {
        @if orders.is_empty() { p { "There are none." } }
        @else {
            (timeline(orders, now))
            div.scrolls {
                table {
                    thead { tr { @for head in ["Deadline", "Order", "Licences", "Renewal"] { th scope="col" { (head) } } } }
                    tbody { @for order in orders.iter().take(MOST_ROWS) { (row(order, now)) } }
                }
            }
            @if further > 0 { p { (count(further as u64)) " orders with later deadlines are in the JSON only." } }
            @if hidden > 0 { p { (count(hidden as u64)) " orders are left out, as there are more than max_rows allows." } }
        }
    }
}

fn row(order: &Order<'_>, now: Timestamp) -> Markup {
    let class = attention(order.attention);
    let used = order.licences_used.map(count);
    let (name, id) = match &*order.alias {
        "" => (&order.order, None),
        _ => (&order.alias, Some(&order.order)),
    };
    let edition = match order.edition_name() {
        "" => format!("type {}", order.kind),
        edition => edition.to_owned(),
    };
    let facts = [edition.as_str(), &order.payment, &order.source];
    let facts: Vec<&str> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    html! {
        tr {
            td.(class) { (deadline(order.deadline, now)) }
            td { bdi { (name) } @if let Some(id) = id { br; small { (id) } } }
            td {
                (known(used)) " of " (known(order.licences.map(count))) " used"
                @if let Some(frozen) = order.licences_frozen.filter(|frozen| *frozen > 0) { ", " (count(frozen)) " frozen" }
                br; small { (facts.join(", ")) }
            }
            td {
                span.sign aria-hidden="true" { (timeline::sign(order)) } " " (timeline::renewal(order))
                @if order.status != "normal" && !order.is_isolated() { br; small { "status " (order.status) } }
            }
        }
    }
}

fn deadline(deadline: Option<Moment>, now: Timestamp) -> Markup {
    html! {
        @match deadline {
            Some(at) => { (at.utc().strftime("%Y-%m-%d %H:%M")) " UTC" br; small { (due(at, now)) } }
            None => "none",
        }
    }
}

/// The log service and the servers, where they are collected.
pub(super) fn further(account: &AccountReport, now: Timestamp) -> Markup {
    let storage = account.log_storage.as_ref().map(|storage| {
        let size = |bytes: Option<u64>| known(bytes.map(gibibytes));
        html! { (size(storage.used_bytes)) " of " (size(storage.bytes)) " GiB used" }
    });
    let log_service = account.log_service.as_ref();
    html! {
        dl {
            (known_fact("Log service", log_service.map(|order| bought(order, now))))
            (known_fact("Log storage", storage))
        }
        @if let Some(servers) = &account.servers { dl { (server_facts(servers)) } }
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}

fn bought(order: &LogService, now: Timestamp) -> Markup {
    let renewal = match &*order.renewal {
        "auto" => ", renews itself",
        _ => ", nothing renews it",
    };
    html! {
        @match &*order.status {
            "none" => "not bought",
            status => {
                span.(attention(order.attention)) {
                    (status) @if let Some(at) = order.deadline { ", ends " (due(at, now)) } (renewal)
                }
            }
        }
    }
}

fn server_facts(servers: &Servers) -> Markup {
    html! {
        (fact("Servers", known(servers.total.map(count))))
        @for (state, number) in &servers.agents {
            @let name = match state.as_str() { "none" => "Without an agent".to_owned(), state => format!("Agent {state}") };
            (fact(name, count(*number)))
        }
        @for (edition, number) in &servers.editions { (fact(format!("Servers on {edition}"), count(*number))) }
        (known_fact("Protection ends within 7 days", servers.near_expiry.map(count)))
    }
}
