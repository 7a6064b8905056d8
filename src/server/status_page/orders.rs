//! The orders of an account, its log service and its servers: a timeline, a table and facts.

use maud::{Markup, html};
use url::form_urlencoded;

use super::timeline::{self, timeline};
use super::words::{View, attention, count, fact, known_fact, relative};
use crate::collectors::Collector as _;
use crate::collectors::license_list::LicenseList;
use crate::server::calendar;
use crate::server::status::orders::{Moment, Order};
use crate::server::status::{AccountReport, CollectorReport, LogService, Servers};

/// The most orders in the table of an account.
const MOST_ROWS: usize = 50;

/// The orders of `account`, if they are collected.
pub(super) fn orders(account: &AccountReport, view: View) -> Markup {
    let mut collectors = account.collectors.iter();
    let collector = collectors.find(|each| each.collector == LicenseList.name());
    html! {
        @if let Some(collector) = collector {
            section.orders aria-label=(view.words.orders()) {
                p {
                    b { (view.words.orders()) } " " small { (reading(collector, view)) }
                    @if collector.last_success_at.is_some() {
                        " " a href=(to_calendar(&account.account)) { (view.words.calendar()) }
                    }
                }
                @if let Some(orders) = &account.orders { (list(orders, collector, view)) }
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
fn reading(collector: &CollectorReport, view: View) -> Markup {
    let (failure, words) = (collector.failure.as_ref(), view.words);
    html! {
        @match collector.last_success_at {
            Some(at) if collector.withdrawn => {
                (words.last_read()) (view.ago(at)) (words.too_long_ago())
            }
            Some(at) => { (words.read()) (view.ago(at)) }
            None if failure.is_some() => (words.not_read()),
            None => (words.not_read_yet()),
        }
        @if let Some(failure) = failure { (words.reading_fails(words.term(failure.reason))) }
    }
}

fn list(orders: &[Order<'_>], collector: &CollectorReport, view: View) -> Markup {
    let further = orders.len().saturating_sub(MOST_ROWS);
    let hidden = collector.rows_hidden.unwrap_or_default();
    let words = view.words;
    let heads = [
        words.deadline(),
        words.order(),
        words.licences(),
        words.renewal(),
    ];
    html! {
        @if orders.is_empty() { p { (words.no_orders()) } }
        @else {
            (timeline(orders, view))
            div.scrolls {
                table {
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody { @for order in orders.iter().take(MOST_ROWS) { (row(order, view)) } }
                }
            }
            @if further > 0 { p { (words.later_orders(count(further as u64))) } }
            @if hidden > 0 { p { (words.hidden_orders(count(hidden as u64))) } }
        }
    }
}

fn row(order: &Order<'_>, view: View) -> Markup {
    let (class, words) = (attention(order.attention), view.words);
    let used = order.licences_used.map(count);
    let (name, id) = match &*order.alias {
        "" => (&order.order, None),
        _ => (&order.alias, Some(&order.order)),
    };
    let edition = match order.edition_name() {
        "" => words.kind(&order.kind),
        edition => words.term(edition).to_owned(),
    };
    let (payment, source) = (words.term(&order.payment), words.term(&order.source));
    let facts = [edition.as_str(), payment, source];
    let facts: Vec<&str> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    html! {
        tr {
            td.(class) { (deadline(order.deadline, view)) }
            td { bdi { (name) } @if let Some(id) = id { br; small { (id) } } }
            td {
                (words.used_of(view.known(used), view.known(order.licences.map(count)), ""))
                @if let Some(frozen) = order.licences_frozen.filter(|frozen| *frozen > 0) {
                    (words.frozen(count(frozen)))
                }
                br; small { (facts.join(words.comma())) }
            }
            td {
                span.sign aria-hidden="true" { (timeline::sign(order)) } " " (timeline::renewal(order, words))
                @if order.status != "normal" && !order.is_isolated() { br; small { (words.other_status(&order.status)) } }
            }
        }
    }
}

fn deadline(deadline: Option<Moment>, view: View) -> Markup {
    html! {
        @match deadline {
            Some(at) => { (at.utc().strftime("%Y-%m-%d %H:%M")) " UTC" br; small { (view.due(at)) } }
            None => (view.words.no_deadline()),
        }
    }
}

/// The log service and the servers, where they are collected.
pub(super) fn further(account: &AccountReport, view: View) -> Markup {
    let words = view.words;
    let storage = account.log_storage.as_ref().map(|storage| {
        let size = |bytes: Option<u64>| view.known(bytes.map(gibibytes));
        words.used_of(size(storage.used_bytes), size(storage.bytes), " GiB")
    });
    let log_service = account.log_service.as_ref();
    html! {
        dl {
            (known_fact(words.log_service(), log_service.map(|order| bought(order, view))))
            (known_fact(words.log_storage(), storage))
        }
        @if let Some(servers) = &account.servers { dl { (server_facts(servers, view)) } }
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}

fn bought(order: &LogService, view: View) -> Markup {
    let words = view.words;
    let renewal = match &*order.renewal {
        "auto" => words.renews_itself(),
        _ => words.nothing_renews(),
    };
    html! {
        @match &*order.status {
            "none" => (words.not_bought()),
            status => {
                span.(attention(order.attention)) {
                    (words.term(status))
                    @if let Some(at) = order.deadline { (words.ends(view.due(at))) }
                    (words.comma()) (renewal)
                }
            }
        }
    }
}

fn server_facts(servers: &Servers, view: View) -> Markup {
    let words = view.words;
    let agents = |state: &str| match state {
        "none" => words.without_agent().to_owned(),
        state => words.agent(words.term(state)),
    };
    html! {
        (fact(words.servers(), view.known(servers.total.map(count))))
        @for (state, number) in &servers.agents { (fact(agents(state), count(*number))) }
        @for (edition, number) in &servers.editions {
            (fact(words.servers_on(words.term(edition)), count(*number)))
        }
        (known_fact(words.protection_ends(), servers.near_expiry.map(count)))
    }
}
