//! The orders of an account, and the order of its log service: when each ends, and how much
//! attention it needs.

use std::borrow::Cow;
use std::cmp::Reverse;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

use super::licences::whole;
use crate::collectors::Sample;
use crate::collectors::history_service::defs as log;
use crate::collectors::license_list::defs as list;

/// A moment in Unix time, in seconds. Orders without an end can have one in the year 9999,
/// which is beyond what a timestamp holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// The same in UTC; the last second of the year 9999 for all that is later.
    #[must_use]
    pub fn utc(self) -> DateTime {
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        epoch.saturating_add(SignedDuration::from_secs(self.0))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.utc().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// How much attention the end of an order needs. The alerts have the same thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// None: the end is far, the order renews itself, or it was a trial or a gift.
    #[default]
    None,
    /// Nothing renews it and it ends within 30 days.
    Soon,
    /// Nothing renews it and it ends within 7 days, it should have renewed itself, or it is
    /// isolated.
    Now,
}

/// An order of licences, or of the log service. Texts are empty where they are not known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Order<'a> {
    /// The id of the order.
    pub order: Cow<'a, str>,
    /// The licences' type, the API's number.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// The edition of the licences.
    pub edition: Cow<'a, str>,
    /// `prepaid` or `postpaid`.
    pub payment: Cow<'a, str>,
    /// Where the order comes from, such as `paid` or `trial`.
    pub source: Cow<'a, str>,
    /// What became of the order.
    pub status: Cow<'a, str>,
    /// Whether the order renews itself: `auto` if it does.
    pub renewal: Cow<'a, str>,
    /// The order's name.
    pub alias: Cow<'a, str>,
    /// When the order ends.
    #[serde(rename = "deadline_at")]
    pub deadline: Option<Moment>,
    /// When the order was bought.
    #[serde(rename = "bought_at")]
    pub purchase: Option<Moment>,
    /// The licences of the order.
    pub licences: Option<u64>,
    /// Those that are bound to a server.
    pub licences_used: Option<u64>,
    /// Those that are frozen.
    pub licences_frozen: Option<u64>,
    /// How much attention the end of the order needs.
    pub attention: Attention,
}

const DAY: i64 = 86_400;

impl Order<'_> {
    /// The edition in words; nothing where it is not known.
    #[must_use]
    pub fn edition_name(&self) -> &str {
        match &*self.edition {
            "unknown" => "",
            "ai_security" => "AI security",
            edition => edition,
        }
    }

    /// Whether the order renews itself.
    #[must_use]
    pub fn renews_itself(&self) -> bool {
        self.renewal == "auto"
    }

    /// Whether the order should have renewed itself by now, and has not.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.renews_itself() && !self.is_isolated() && self.attention == Attention::Now
    }

    /// Whether the order has ended, and is kept for some days in which it can be renewed.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.status == "isolated"
    }

    /// Whether the order has not come to its end for good.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(&*self.status, "none" | "destroyed")
    }

    /// Whether nobody is asked to renew the order, as it was not bought.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        let sources = ["trial", "gift", "experience", "gift_ssl", "gift_cvm"];
        sources.contains(&&*self.source)
    }

    /// How much attention the end of the order needs at `now`, in Unix time.
    #[must_use]
    pub fn attention_at(&self, now: i64) -> Attention {
        if self.is_trial() {
            return Attention::None;
        }
        if self.is_isolated() {
            return Attention::Now;
        }
        let Some(Moment(deadline)) = self.deadline else {
            return Attention::None;
        };
        let left = deadline.saturating_sub(now);
        if self.renews_itself() {
            return if left < DAY {
                Attention::Now
            } else {
                Attention::None
            };
        }
        // Nobody loses protection by the end of licences that nobody uses.
        let is_used = self.licences_used != Some(0);
        match left {
            left if left < 7 * DAY && is_used => Attention::Now,
            left if left < 7 * DAY => Attention::Soon,
            left if left < 30 * DAY && is_used => Attention::Soon,
            _ => Attention::None,
        }
    }

    /// The same order, with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Order<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Order {
            order: own(self.order),
            kind: own(self.kind),
            edition: own(self.edition),
            payment: own(self.payment),
            source: own(self.source),
            status: own(self.status),
            renewal: own(self.renewal),
            alias: own(self.alias),
            ..self
        }
    }
}

/// The next deadline of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDeadline {
    /// When it is.
    pub at: Moment,
    /// How much attention the order needs that ends then.
    pub attention: Attention,
}

/// The orders of an account, the next deadline first.
#[derive(Debug, Default)]
pub struct Orders<'a> {
    /// Those of licences.
    pub licences: Vec<Order<'a>>,
    /// That of the log service; its status is `none` where none was bought.
    pub log_service: Option<Order<'a>>,
}

impl<'a> Orders<'a> {
    /// What the samples of an account say of its orders at `now`, in Unix time.
    #[must_use]
    pub fn read(samples: impl IntoIterator<Item = &'a Sample>, now: i64) -> Self {
        let mut orders = Self::default();
        for sample in samples {
            orders.add(sample);
        }
        let all = orders.licences.iter_mut().chain(&mut orders.log_service);
        for order in all {
            order.attention = order.attention_at(now);
        }
        orders.licences.sort_by(|a, b| a.place().cmp(&b.place()));
        orders
    }

    /// The orders that have not come to their end for good.
    pub fn live(&self) -> impl Iterator<Item = &Order<'a>> {
        let all = self.licences.iter().chain(&self.log_service);
        all.filter(|order| order.is_live())
    }

    /// The order that needs most attention, if any does.
    #[must_use]
    pub fn most_urgent(&self) -> Option<&Order<'a>> {
        let urgent = self
            .live()
            .filter(|order| order.attention > Attention::None);
        urgent.min_by_key(|order| (Reverse(order.attention), order.place()))
    }

    /// The next deadline of an order that is not isolated.
    #[must_use]
    pub fn next_deadline(&self) -> Option<NextDeadline> {
        let open = self.live().filter(|order| !order.is_isolated());
        let ends = open.filter_map(|order| {
            let (at, attention) = (order.deadline?, order.attention);
            Some(NextDeadline { at, attention })
        });
        ends.min_by_key(|next| (next.at, Reverse(next.attention)))
    }

    fn add(&mut self, sample: &'a Sample) {
        let name = sample.metric.name;
        if name == log::INFO.name {
            self.log_service.get_or_insert_default().describe(sample);
        } else if name == log::DEADLINE.name {
            self.log_service.get_or_insert_default().deadline = moment(sample);
        } else if name.starts_with("tencentcloud_cwp_order_") {
            let id = sample.label();
            // The samples of an order stand together.
            if self.licences.last().is_none_or(|last| last.order != id) {
                self.licences.push(Order {
                    order: id.into(),
                    ..Order::default()
                });
            }
            if let Some(order) = self.licences.last_mut() {
                order.add(sample);
            }
        }
    }
}

impl<'a> Order<'a> {
    /// The place among others: the next deadline first, and those without one last.
    fn place(&self) -> (bool, Option<Moment>, &str) {
        (self.deadline.is_none(), self.deadline, &self.order)
    }

    fn add(&mut self, sample: &'a Sample) {
        match sample.metric.name {
            name if name == list::INFO.name => self.describe(sample),
            name if name == list::DEADLINE.name => self.deadline = moment(sample),
            name if name == list::PURCHASE.name => self.purchase = moment(sample),
            name if name == list::LICENSES.name => self.licences = whole(sample.value),
            name if name == list::USED.name => self.licences_used = whole(sample.value),
            name if name == list::FROZEN.name => self.licences_frozen = whole(sample.value),
            _ => {}
        }
    }

    /// Takes in the labels of `sample`.
    fn describe(&mut self, sample: &'a Sample) {
        // The first label is the account's name, which samples do not have.
        let names = sample.metric.labels.iter().skip(1);
        for (name, value) in names.zip(sample.labels.iter()) {
            let text = match *name {
                "order" => &mut self.order,
                "type" => &mut self.kind,
                "edition" => &mut self.edition,
                "payment" => &mut self.payment,
                "source" => &mut self.source,
                "status" => &mut self.status,
                "renewal" => &mut self.renewal,
                "alias" => &mut self.alias,
                _ => continue,
            };
            *text = Cow::Borrowed(value);
        }
    }
}

/// The value of `sample` as Unix time.
fn moment(sample: &Sample) -> Option<Moment> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number outside the range becomes the nearest inside"
    )]
    let seconds = sample.value as i64;
    (!sample.value.is_nan()).then_some(Moment(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn order(deadline: i64, change: impl FnOnce(&mut Order<'_>)) -> Attention {
        let mut order = Order {
            source: "paid".into(),
            status: "normal".into(),
            renewal: "manual".into(),
            deadline: Some(Moment(NOW + deadline)),
            licences_used: Some(1),
            ..Order::default()
        };
        change(&mut order);
        order.attention_at(NOW)
    }

    #[test]
    fn an_order_that_nothing_renews_needs_attention_30_days_before_its_end_and_more_at_7() {
        let unchanged = |_: &mut Order<'_>| {};
        assert_eq!(order(30 * DAY, unchanged), Attention::None);
        assert_eq!(order(30 * DAY - 1, unchanged), Attention::Soon);
        assert_eq!(order(7 * DAY, unchanged), Attention::Soon);
        assert_eq!(order(7 * DAY - 1, unchanged), Attention::Now);
        assert_eq!(order(-DAY, unchanged), Attention::Now, "it has ended");
        let unset = |order: &mut Order<'_>| order.renewal = "unset".into();
        assert_eq!(order(DAY, unset), Attention::Now, "unset is no promise");
    }

    #[test]
    fn an_order_that_renews_itself_needs_attention_once_it_should_have_been_renewed() {
        let auto = |order: &mut Order<'_>| order.renewal = "auto".into();
        assert_eq!(order(DAY, auto), Attention::None);
        assert_eq!(order(DAY - 1, auto), Attention::Now);
    }

    #[test]
    fn trials_need_no_attention_unused_orders_less_and_isolated_ones_most() {
        for source in ["trial", "gift", "experience", "gift_ssl", "gift_cvm"] {
            let trial = |order: &mut Order<'_>| {
                order.source = source.into();
                order.status = "isolated".into();
            };
            assert_eq!(order(DAY, trial), Attention::None, "{source}");
        }
        let campaign = |order: &mut Order<'_>| order.source = "6".into();
        assert_eq!(order(DAY, campaign), Attention::Now);
        let unused = |order: &mut Order<'_>| order.licences_used = Some(0);
        assert_eq!(order(DAY, unused), Attention::Soon);
        assert_eq!(order(8 * DAY, unused), Attention::None);
        let isolated = |order: &mut Order<'_>| order.status = "isolated".into();
        assert_eq!(order(-9 * DAY, isolated), Attention::Now);
        let endless = |order: &mut Order<'_>| order.deadline = None;
        assert_eq!(order(0, endless), Attention::None);
    }

    #[test]
    fn the_samples_of_a_list_become_orders_by_deadline() {
        let sample =
            |metric, order: &'static str, value| Sample::new(metric, [order.into()], value);
        let info = |order: &'static str, status: &'static str| {
            let labels = [
                order, "2", "ultimate", "prepaid", "paid", status, "manual", "web",
            ];
            Sample::new(list::INFO, labels.map(Cow::Borrowed), 1.0)
        };
        let now = NOW as f64;
        let samples = [
            Sample::new(list::ORDERS, ["normal".into()], 3.0),
            info("late", "normal"),
            sample(list::DEADLINE, "late", now + 9e6),
            info("endless", "normal"),
            info("ended", "isolated"),
            sample(list::DEADLINE, "ended", now - 9e5),
            sample(list::LICENSES, "ended", 20.0),
            sample(list::USED, "ended", 0.0),
            Sample::new(
                log::INFO,
                ["log".into(), "normal".into(), "auto".into()],
                1.0,
            ),
            Sample::new(log::DEADLINE, [], now + 5e6),
        ];
        let orders = Orders::read(&samples, NOW);
        let ids: Vec<&str> = orders.licences.iter().map(|each| &*each.order).collect();
        assert_eq!(ids, ["ended", "late", "endless"]);
        let next = orders.next_deadline().unwrap();
        assert_eq!(
            (next.at, next.attention),
            (Moment(NOW + 5_000_000), Attention::None)
        );
        let urgent = orders.most_urgent().unwrap();
        assert_eq!(
            (&*urgent.order, urgent.attention),
            ("ended", Attention::Now)
        );
        assert_eq!((urgent.licences, urgent.licences_used), (Some(20), Some(0)));
        assert_eq!(orders.live().count(), 4);
    }

    #[test]
    fn a_moment_beyond_the_year_9999_is_its_last_second() {
        let json = |seconds| serde_json::to_string(&Moment(seconds)).unwrap();
        assert_eq!(json(1_800_843_063), "\"2027-01-25T02:11:03Z\"");
        assert_eq!(json(253_402_271_999), "\"9999-12-31T15:59:59Z\"");
        assert_eq!(json(i64::MAX), "\"9999-12-31T23:59:59Z\"");
    }
}
