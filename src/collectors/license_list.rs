//! `DescribeLicenseList`: the orders of an account, each with its own deadline.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::moment::Moment;
use super::object::{self, Documented, Object};
use super::order::{DESTROYED, ISOLATED, edition_and_payment, renewal, source, status};
use super::pages::{Page, Pages};
use super::{Collected, Collector, Drift, DriftKind, Next, Reading, Sample};
use crate::cloud::{Error, Fields, Request};
use crate::config::{CollectorDefaults, CollectorSettings};
use crate::metrics::MetricDef;

/// The definitions of the metrics.
pub mod defs {
    crate::metrics::define_metrics! {
        INFO = Gauge "tencentcloud_cwp_order_info" ["account", "order", "type", "edition", "payment", "source", "status", "renewal", "alias"]
            "Properties of an order that can change (ResourceId, LicenseType, SourceType, \
             OrderStatus, AutoRenewFlag, Alias); always 1. Polled and cached."
        DEADLINE = Gauge "tencentcloud_cwp_order_deadline_timestamp_seconds" ["account", "order"]
            "Deadline of an order (Deadline, in UTC+8); absent for an order without an end. Unit: \
             Unix time in seconds. Polled and cached."
        PURCHASE = Gauge "tencentcloud_cwp_order_purchase_timestamp_seconds" ["account", "order"]
            "Time at which an order was bought (BuyTime, in UTC+8). Unit: Unix time in seconds. \
             Polled and cached."
        LICENSES = Gauge "tencentcloud_cwp_order_licenses" ["account", "order"]
            "Licences of an order (LicenseCnt). Unit: licences. Polled and cached."
        USED = Gauge "tencentcloud_cwp_order_licenses_used" ["account", "order"]
            "Licences of an order that are bound to a server (UsedLicenseCnt). Unit: licences. Polled and cached."
        FROZEN = Gauge "tencentcloud_cwp_order_licenses_frozen" ["account", "order"]
            "Licences of an order that are frozen (FreezeNum). Unit: licences. Polled and cached."
        ORDERS = Gauge "tencentcloud_cwp_orders" ["account", "status"]
            "Orders by status, also orders without series of their own (OrderStatus). Unit: \
             orders. Polled and cached."
    }
}

/// The collector `license_list`.
#[derive(Debug, Clone, Copy)]
pub struct LicenseList;

/// How many rows of a page are asked for at first. The API documents no maximum; other lists
/// of CWP have this one.
const FIRST_LIMIT: usize = 100;

/// The documented default of `Limit`, for an API that refuses more.
const DEFAULT_LIMIT: usize = 10;

/// Of all accounts, as the API is the same.
static PAGE_SIZE: PageSize = PageSize::new();

/// How many rows of a page are asked for: fewer, once the API has refused more.
///
/// A refusal with this code can have another cause that is gone when fewer rows are asked for.
/// Lists of small pages take ten times the requests. So one refusal is not believed, and two are
/// believed for a while.
#[derive(Debug)]
struct PageSize {
    /// Refusals since the API last took `FIRST_LIMIT`.
    refusals: AtomicUsize,
    /// How many lists are still read in small pages.
    small: AtomicUsize,
}

impl PageSize {
    /// The refusals in a row that are believed.
    const BELIEVED: usize = 2;

    /// How many lists are read in small pages until more is asked for again.
    const SMALL: usize = 100;

    const fn new() -> Self {
        Self {
            refusals: AtomicUsize::new(0),
            small: AtomicUsize::new(0),
        }
    }

    /// The limit for one more list.
    fn limit(&self) -> usize {
        let next = |left: usize| left.checked_sub(1);
        match self
            .small
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        {
            Ok(_) => DEFAULT_LIMIT,
            Err(_) => FIRST_LIMIT,
        }
    }

    /// The API took `limit`, after it had refused more where `refused`.
    fn taken(&self, limit: usize, refused: bool) {
        if limit == FIRST_LIMIT {
            self.refusals.store(0, Ordering::Relaxed);
        } else if refused && self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= Self::BELIEVED {
            self.small.store(Self::SMALL, Ordering::Relaxed);
        }
    }
}

/// The longest alias that becomes a label, in characters; the API allows 15.
const MAX_ALIAS: usize = 64;

impl Collector for LicenseList {
    fn name(&self) -> &'static str {
        "license_list"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        defs::ALL
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        Some(CollectorDefaults {
            name: self.name(),
            settings: CollectorSettings {
                enabled: true,
                interval: Duration::from_secs(300),
                max_age: Duration::from_secs(1800),
                max_rows: Some(500),
            },
        })
    }

    fn request(&self) -> Request {
        Request::cwp("DescribeLicenseList", parameters(FIRST_LIMIT, 0))
    }

    fn reading(&self) -> Box<dyn Reading> {
        let limit = PAGE_SIZE.limit();
        Box::new(List {
            limit,
            refused: false,
            pages: Pages::of(limit),
            drift: BTreeSet::new(),
            recognized: false,
        })
    }
}

fn parameters(limit: usize, offset: usize) -> Bytes {
    format!(r#"{{"Limit":{limit},"Offset":{offset}}}"#).into()
}

/// The list while it is read.
struct List {
    limit: usize,
    /// Whether the API has refused more than `limit`, and taken nothing since.
    refused: bool,
    pages: Pages<Order>,
    drift: BTreeSet<Drift>,
    recognized: bool,
}

impl Reading for List {
    fn first(&self) -> Option<Bytes> {
        (self.limit != FIRST_LIMIT).then(|| parameters(self.limit, 0))
    }

    fn refused(&mut self, error: &Error) -> Option<Bytes> {
        let code = error.code.as_deref().unwrap_or_default();
        let is_limit = self.pages.is_new() && code.starts_with("InvalidParameter");
        if self.limit == DEFAULT_LIMIT || !is_limit {
            return None;
        }
        self.limit = DEFAULT_LIMIT;
        self.refused = true;
        self.pages = Pages::of(self.limit);
        Some(parameters(self.limit, 0))
    }

    fn read(&mut self, answer: &Fields) -> Next {
        PAGE_SIZE.taken(self.limit, std::mem::take(&mut self.refused));
        let mut answer = Object::new(answer, "");
        let total = answer.number("TotalCount", Documented::Yes);
        // An account without orders may have no list; a value that is no list is never an
        // empty list.
        let mut is_list = true;
        let list = answer.read("List", Documented::Later, |json| {
            let rows = serde_json::from_str::<Option<Vec<&RawValue>>>(json);
            is_list = rows.is_ok();
            rows.ok().map(Option::unwrap_or_default)
        });
        self.recognized |= answer.is_recognized() || list.is_some();
        self.drift.extend(answer.drift());
        if !is_list {
            return Next::Failed("`List` is no list".to_owned());
        }
        let rows = list.unwrap_or_default().into_iter();
        let page = rows.map(|row| self.row(row.get())).collect();
        match self.pages.take(page, total) {
            Page::Next(offset) => Next::Ask(parameters(self.limit, offset)),
            Page::Failed(words) => Next::Failed(words.to_owned()),
            Page::Complete { rows, miscounted } => {
                if miscounted {
                    self.differs("TotalCount");
                }
                Next::Done(Collected {
                    samples: by_status(&rows),
                    rows: most_urgent_first(rows),
                    drift: std::mem::take(&mut self.drift).into_iter().collect(),
                    recognized: self.recognized,
                    ..Collected::default()
                })
            }
        }
    }
}

impl List {
    /// The order in a row, with its key: nothing for a row that names no order.
    fn row(&mut self, json: &str) -> (Option<String>, Order) {
        let Ok(fields) = serde_json::from_str(json) else {
            self.differs("List[]");
            return (None, Order::default());
        };
        let mut row = Object::new(&fields, "List[].");
        row.skip(&["LicenseId", "LicenseStatus", "ProjectId", "TaskId", "Tags"]);
        let id = id(&mut row);
        let order = Order::read(&mut row, id.as_deref().unwrap_or_default());
        self.drift.extend(row.drift());
        (id, order)
    }

    fn differs(&mut self, field: &'static str) {
        self.drift.insert(Drift {
            field: field.into(),
            kind: DriftKind::Invalid,
        });
    }
}

/// The key of an order, which never changes: its `ResourceId`, or else its `LicenseId`.
fn id(row: &mut Object<'_>) -> Option<String> {
    let id = row.text("ResourceId", Documented::Yes);
    match id {
        Some(id) if !id.trim().is_empty() => return Some(id),
        Some(_) => row.reject("ResourceId"),
        None => {}
    }
    let number = row.number("LicenseId", Documented::Yes)?;
    Some(format!("license:{number}"))
}

/// An order of the list.
#[derive(Default)]
struct Order {
    status: Option<u64>,
    deadline: Option<i64>,
    samples: Vec<Sample>,
}

impl Order {
    fn read(row: &mut Object<'_>, id: &str) -> Self {
        let kind = row.number("LicenseType", Documented::Yes);
        let (edition, payment) = kind.map_or(("unknown", "unknown"), edition_and_payment);
        let state = row.number("OrderStatus", Documented::Yes);
        let flag = row.number("AutoRenewFlag", Documented::Yes);
        let origin = row.number("SourceType", Documented::Yes);
        let alias = row.read("Alias", Documented::Yes, |json| {
            let alias: String = serde_json::from_str(json).ok()?;
            Some(alias.chars().take(MAX_ALIAS).collect::<String>())
        });
        let has_no_end = payment == "postpaid" || state == Some(DESTROYED);
        let deadline = row.read("Deadline", Documented::Yes, Moment::read);
        if deadline == Some(Moment::Absent) && !has_no_end {
            // Nobody can watch such an order, so the order must be reported.
            row.reject("Deadline");
        }
        let purchase = row.read("BuyTime", Documented::Yes, Moment::read);
        if purchase == Some(Moment::Absent) {
            row.reject("BuyTime");
        }
        // Once documented as nullable.
        let frozen = row.read("FreezeNum", Documented::Later, |json| match json {
            "null" => Some(None),
            json => object::count(json).map(Some),
        });
        let deadline = deadline.and_then(Moment::seconds);
        let info = [
            id.to_owned().into(),
            kind.map(|number| number.to_string())
                .unwrap_or_default()
                .into(),
            edition.into(),
            payment.into(),
            origin.map_or(NO_WORD, source),
            state.map_or(NO_WORD, status),
            flag.map_or(NO_WORD, renewal),
            alias.unwrap_or_default().into(),
        ];
        let values = [
            (defs::DEADLINE, deadline.map(|seconds| seconds as f64)),
            (
                defs::PURCHASE,
                purchase
                    .and_then(Moment::seconds)
                    .map(|seconds| seconds as f64),
            ),
            (defs::LICENSES, row.count("LicenseCnt", Documented::Yes)),
            (defs::USED, row.count("UsedLicenseCnt", Documented::Yes)),
            (defs::FROZEN, frozen.flatten()),
        ];
        let values = values.into_iter().filter_map(|(metric, value)| {
            Some(Sample::new(metric, [id.to_owned().into()], value?))
        });
        let info = Sample::new(defs::INFO, info, 1.0);
        Self {
            status: state,
            deadline,
            samples: std::iter::once(info).chain(values).collect(),
        }
    }
}

/// The label of a field that says nothing.
const NO_WORD: Cow<'static, str> = Cow::Borrowed("");

/// How many orders there are of each status.
fn by_status(orders: &BTreeMap<String, Order>) -> Vec<Sample> {
    let always = [1, ISOLATED, DESTROYED].map(|number| (status(number), 0_u32));
    let mut counts = BTreeMap::from(always);
    for order in orders.values() {
        *counts
            .entry(order.status.map_or(NO_WORD, status))
            .or_default() += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|(status, count)| Sample::new(defs::ORDERS, [status], count.into()))
        .collect()
}

/// The series of the orders that are not destroyed. If there are too many, the orders with the
/// latest deadlines are hidden.
fn most_urgent_first(orders: BTreeMap<String, Order>) -> Vec<Vec<Sample>> {
    let live = orders
        .into_iter()
        .filter(|(_, order)| order.status != Some(DESTROYED));
    let mut live: Vec<(String, Order)> = live.collect();
    // They are in the order of their ids, which a stable sort keeps.
    live.sort_by_key(|(_, order)| {
        let is_isolated = order.status == Some(ISOLATED);
        (!is_isolated, order.deadline.is_none(), order.deadline)
    });
    live.into_iter().map(|(_, order)| order.samples).collect()
}

#[cfg(test)]
mod tests;
