//! `/calendar.ics`: the deadlines of all orders as a calendar to subscribe to (RFC 5545).
//!
//! A calendar client deletes the events that a feed no longer has, which would read as if the
//! order had been renewed. So a feed is complete or refused: the orders that were read last
//! stay in it however old they are, and until those of an account have been read there is
//! no feed at all. Only accounts whose key cannot read orders are left out, and named.

mod event;
mod text;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Uri, header};
use parking_lot::Mutex;
use url::form_urlencoded;

use self::event::{Event, Revisions, Source};
use self::text::Lines;
use super::reply::{self, PLAIN};
use crate::collection::snapshot::{AccountState, CollectorState, Slot};
use crate::collectors::Collector as _;
use crate::collectors::history_service::HistoryService;
use crate::collectors::license_list::LicenseList;
use crate::metrics::reason::Reason;
use crate::server::status::Status;
use crate::server::status::orders::{Moment, Orders};
use crate::system::clock::TimePoint;
use crate::system::words::counted;

/// The path of the calendar.
pub(super) const PATH: &str = "/calendar.ics";

const CALENDAR: &str = "text/calendar; charset=utf-8";

/// The most events of a feed, about a megabyte, which is what calendars take. Those with the
/// latest deadlines are left out.
const MOST_EVENTS: usize = 1000;

/// When a client that was refused should ask again, in seconds.
const RETRY_AFTER: u64 = 60;

/// Makes the feeds, and remembers when each event changed last.
#[derive(Debug, Default)]
pub struct Calendar {
    revisions: Mutex<Revisions>,
}

/// What is known of the orders of the accounts of a feed.
#[derive(Default)]
struct Feed {
    events: Vec<Event>,
    /// How many collectors there are that read orders.
    collectors: usize,
    /// How many of them have read some.
    read: usize,
    /// Accounts and collectors that have read nothing yet, and may soon.
    unread: Vec<String>,
    /// Accounts and collectors that have read nothing and cannot, with the reason.
    left_out: Vec<String>,
    /// Orders that no account shows because of `max_rows`.
    hidden: usize,
}

/// The account that a query names.
pub(super) fn account(query: &str) -> Option<String> {
    parameter(query, "account")
}

/// The token that a request for the calendar has.
pub(super) fn token(uri: &Uri) -> Option<String> {
    let query = (uri.path() == PATH).then(|| uri.query())?;
    parameter(query?, "token")
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(known, _)| known == name)?;
    Some(value.into_owned())
}

impl Calendar {
    /// The feed of `account`, or of all accounts.
    pub(super) fn answer(&self, status: &Status, account: Option<&str>) -> Response<Bytes> {
        let (now, accounts) = (status.clock.moment(), status.store.load());
        let is_wanted = |each: &AccountState| account.is_none_or(|name| name == each.name);
        let wanted: Vec<_> = accounts
            .list()
            .iter()
            .filter(|each| is_wanted(each))
            .collect();
        if account.is_some() && wanted.is_empty() {
            let text = "This process collects no account with this name. Its accounts are at \
                        /sd.\n";
            return reply::answer(StatusCode::BAD_REQUEST, PLAIN, text);
        }
        let mut feed = Feed::default();
        for account in wanted {
            feed.add(account, now);
        }
        if feed.collectors == 0 {
            let text = "No orders are collected. Switch the collector license_list on.\n";
            return reply::answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
        }
        if let Some(refusal) = feed.refusal() {
            return refusal;
        }
        let body = feed.into_text(account, &mut self.revisions.lock(), now);
        let mut response = reply::answer(StatusCode::OK, CALENDAR, body);
        let no_store = HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_store);
        response
    }
}

impl Feed {
    fn add(&mut self, account: &AccountState, now: TimePoint) {
        for slot in &account.slots {
            let name = slot.collector().name();
            if name == LicenseList.name() || name == HistoryService.name() {
                self.collectors += 1;
                self.add_orders(account, slot, &slot.load(), now);
            }
        }
    }

    fn add_orders(
        &mut self,
        account: &AccountState,
        slot: &Slot,
        state: &CollectorState,
        now: TimePoint,
    ) {
        let (name, collector) = (&account.name, slot.collector().name());
        let Some(success) = &state.last_success else {
            let attempt = state.last_attempt.as_ref();
            let failure = attempt.and_then(|attempt| attempt.failure.as_ref());
            // These do not pass by themselves: without a bound, one account would keep the
            // deadlines of all others out of the calendars.
            match failure.map(|error| error.reason) {
                Some(reason @ (Reason::Permission | Reason::Credentials)) => {
                    let reason = reason.as_str();
                    let named = format!("the account {name} ({collector}: {reason})");
                    self.left_out.push(named);
                }
                _ => self
                    .unread
                    .push(format!("the account {name} ({collector})")),
            }
            return;
        };
        self.read += 1;
        self.hidden += success.rows_hidden.unwrap_or_default();
        let is_stale = slot.samples(state, now).is_none();
        let read_at = Moment(now.time_of(success.at).as_second());
        let source = Source {
            account: &account.name,
            stale_since: is_stale.then_some(read_at),
        };
        let orders = Orders::read(&*success.samples, now.wall.as_second());
        let log_service = orders.log_service.iter();
        let log_service = log_service.filter(|order| order.is_live());
        let events = orders.licences.iter().filter(|order| order.is_live());
        let events = events.filter_map(|order| Event::of_licences(order, source));
        let log_service = log_service.filter_map(|order| Event::of_log_service(order, source));
        self.events.extend(events.chain(log_service));
    }

    /// The refusal of a feed that would be incomplete.
    fn refusal(&self) -> Option<Response<Bytes>> {
        let missing = match (self.unread.first(), self.read) {
            (Some(first), _) => first,
            (None, 0) => self.left_out.first()?,
            (None, _) => return None,
        };
        let text = format!(
            "There is no calendar yet: the orders of {missing} have not been read. The status page \
             says why.\n"
        );
        let mut response = reply::answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
        let seconds = HeaderValue::from(RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        Some(response)
    }

    fn into_text(
        mut self,
        account: Option<&str>,
        revisions: &mut Revisions,
        now: TimePoint,
    ) -> String {
        self.events.sort_by_key(|event| event.deadline);
        let later = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.truncate(MOST_EVENTS);
        let (name, about) = (
            account.map_or_else(
                || "CWP orders".to_owned(),
                |account| format!("CWP orders of {account}"),
            ),
            self.about(later),
        );
        let mut lines = Lines::default();
        lines.property("BEGIN", "VCALENDAR");
        lines.property("VERSION", "2.0");
        lines.property("PRODID", "-//cwp-exporter//orders//EN");
        lines.property("CALSCALE", "GREGORIAN");
        // The first of each pair is the standard's, the second what most clients read.
        for property in ["NAME", "X-WR-CALNAME"] {
            lines.text(property, &name);
        }
        for property in ["DESCRIPTION", "X-WR-CALDESC"] {
            lines.text(property, &about);
        }
        lines.property("REFRESH-INTERVAL;VALUE=DURATION", "PT1H");
        lines.property("X-PUBLISHED-TTL", "PT1H");
        for event in &self.events {
            event.write(&mut lines, revisions, now.wall.as_second());
        }
        if self.events.is_empty() {
            no_event(&mut lines);
        }
        lines.property("END", "VCALENDAR");
        lines.into_string()
    }

    /// The description of the calendar: its content, and what is missing.
    fn about(&self, later: usize) -> String {
        let mut about =
            "Deadlines of orders of Tencent Cloud Workload Protection, as cwp-exporter has read them."
                .to_owned();
        if !self.left_out.is_empty() {
            about += &format!(
                " Missing, because they cannot be read: the orders of {}.",
                self.left_out.join(", ")
            );
        }
        if self.hidden > 0 {
            about += &format!(
                " Missing because of max_rows: {}.",
                counted(self.hidden, "order")
            );
        }
        if later > 0 {
            about += &format!(
                " Missing, because their deadlines are the latest: {}. Subscribe to each account.",
                counted(later, "order")
            );
        }
        about
    }
}

/// A calendar must have a component: the time zone of deadlines does no harm.
fn no_event(lines: &mut Lines) {
    for (name, value) in [
        ("BEGIN", "VTIMEZONE"),
        ("TZID", "Asia/Shanghai"),
        ("BEGIN", "STANDARD"),
        ("DTSTART", "19910915T010000"),
        ("TZOFFSETFROM", "+0900"),
        ("TZOFFSETTO", "+0800"),
        ("END", "STANDARD"),
        ("END", "VTIMEZONE"),
    ] {
        lines.property(name, value);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::server::status::orders::Order;
    use crate::system::clock::Clock;

    #[test]
    fn of_too_many_orders_those_with_the_latest_deadlines_are_left_out_and_counted() {
        let now = Clock::new(|| Timestamp::UNIX_EPOCH).moment();
        let source = Source {
            account: "a",
            stale_since: None,
        };
        let events = (0..1_500_i64).rev().filter_map(|number| {
            let order = Order {
                order: number.to_string().into(),
                deadline: Some(Moment(2_000_000_000 + number)),
                ..Order::default()
            };
            Event::of_licences(&order, source)
        });
        let feed = Feed {
            events: events.collect(),
            ..Feed::default()
        };
        let text = feed.into_text(None, &mut Revisions::default(), now);
        assert_eq!(text.matches("BEGIN:VEVENT").count(), MOST_EVENTS);
        let unfolded = text.replace("\r\n ", "");
        assert!(unfolded.contains("Order 999 of") && !unfolded.contains("Order 1000 of"));
        let told = "their deadlines are the latest: 500 orders.";
        assert!(unfolded.contains(told), "{unfolded:.900}");
        assert!(text.len() < 1_200_000, "{}", text.len());
    }
}
