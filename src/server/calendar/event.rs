//! The event of an order: what it says, and when it was revised.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::text::Lines;
use crate::server::status::orders::{Moment, Order};

/// The end of an order.
#[derive(Debug)]
pub(super) struct Event {
    uid: Uid,
    pub(super) deadline: Moment,
    summary: String,
    description: String,
    /// Whether the order is likely to be renewed.
    is_tentative: bool,
    /// Whether somebody has to do something before.
    has_alarms: bool,
}

/// The identity of an event, which never changes.
pub(super) type Uid = [u8; 16];

/// What is common to the events of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) account: &'a str,
    /// When the orders were read, if that is too long ago for them to be shown elsewhere.
    pub(super) stale_since: Option<Moment>,
}

impl Event {
    /// The end of an order of licences, if it has one.
    pub(super) fn of_licences(order: &Order<'_>, source: Source<'_>) -> Option<Self> {
        let licences = licences(order);
        let noun = if order.is_trial() {
            "trial or gift"
        } else {
            "order"
        };
        let what = format!("{noun} of {licences}");
        let name = match &*order.alias {
            "" => String::new(),
            // Isolated, so that its direction does not spread to the rest of the line.
            alias => format!(" \"\u{2068}{alias}\u{2069}\""),
        };
        let about = format!(
            "Order {}{name} of the account {}: {licences}.",
            order.order, source.account
        );
        let advice = if order.is_isolated() {
            "The order has ended and is isolated: its servers have lost their protection. Renew \
             the order in the console. It is destroyed 30 days after its end."
        } else if order.is_trial() {
            "The order is a trial or a gift. Buy licences if its servers need protection later."
        } else if order.is_overdue() {
            "The order should have renewed itself, but has not. Check the balance of the account, \
             and renew the order in the console: otherwise its servers lose their protection."
        } else if order.renews_itself() {
            "The order renews itself. Keep the balance of the account sufficient: if the payment \
             fails, its servers lose their protection at once."
        } else {
            "Nothing renews the order. Renew the order in the console, or switch its automatic \
             renewal on: otherwise its servers lose their protection."
        };
        Self::new("license_list", &what, &about, advice, order, source)
    }

    /// The end of the order of the log service, if there is one.
    pub(super) fn of_log_service(order: &Order<'_>, source: Source<'_>) -> Option<Self> {
        let about = format!(
            "Log service of the account {}, order {}.",
            source.account, order.order
        );
        let advice = if order.is_isolated() {
            "The order has ended and is isolated. Renew the order in the console before it is \
             destroyed."
        } else if order.is_overdue() {
            "The order should have renewed itself, but has not. Check the balance of the account, \
             and renew the order in the console: otherwise logs are no longer kept."
        } else if order.renews_itself() {
            "The order renews itself. Keep the balance of the account sufficient."
        } else {
            "Nothing renews the order. Renew the order in the console: otherwise logs are no \
             longer kept."
        };
        Self::new(
            "history_service",
            "log service",
            &about,
            advice,
            order,
            source,
        )
    }

    fn new(
        collector: &str,
        what: &str,
        about: &str,
        advice: &str,
        order: &Order<'_>,
        source: Source<'_>,
    ) -> Option<Self> {
        let deadline = order.deadline?;
        let happens = if order.is_isolated() {
            "is isolated"
        } else if order.is_overdue() {
            "was not renewed yet"
        } else if order.renews_itself() {
            "renews itself"
        } else {
            "ends"
        };
        let mut description = format!("{about}\nDeadline: {}\n{advice}", in_china(deadline));
        if let Some(read) = source.stale_since {
            let read = read.utc().strftime("%Y-%m-%d %H:%M");
            let doubt =
                format!("\nLast read at {read} UTC. The order may have been renewed since then.");
            description.push_str(&doubt);
        }
        Some(Self {
            uid: uid([source.account, collector, &order.order]),
            deadline,
            summary: format!("{}: {what} {happens}", source.account),
            description,
            is_tentative: order.renews_itself() && !order.is_isolated() && !order.is_overdue(),
            has_alarms: !order.renews_itself() && !order.is_trial() && !order.is_isolated(),
        })
    }

    /// Writes the event. `revisions` has the time of its last change.
    pub(super) fn write(&self, lines: &mut Lines, revisions: &mut Revisions, now: i64) {
        let revised = revisions.of(self.uid, self.digest(), now);
        let uid = base16ct::lower::encode_string(&self.uid);
        lines.property("BEGIN", "VEVENT");
        lines.property("UID", &format!("{uid}@cwp-exporter"));
        lines.property("DTSTAMP", &time(Moment(revised)));
        lines.property("LAST-MODIFIED", &time(Moment(revised)));
        lines.property("SEQUENCE", &sequence(revised).to_string());
        lines.property("DTSTART", &time(self.deadline));
        lines.text("SUMMARY", &self.summary);
        lines.text("DESCRIPTION", &self.description);
        let status = if self.is_tentative {
            "TENTATIVE"
        } else {
            "CONFIRMED"
        };
        lines.property("STATUS", status);
        // Nobody is busy because an order ends.
        lines.property("TRANSP", "TRANSPARENT");
        for trigger in ["-P30D", "-P7D"] {
            if self.has_alarms {
                lines.property("BEGIN", "VALARM");
                lines.property("ACTION", "DISPLAY");
                lines.property("TRIGGER", trigger);
                lines.text("DESCRIPTION", &self.summary);
                lines.property("END", "VALARM");
            }
        }
        lines.property("END", "VEVENT");
    }

    /// A digest of all that the event says.
    fn digest(&self) -> Uid {
        let (deadline, kind) = (
            self.deadline.0.to_string(),
            [self.is_tentative, self.has_alarms],
        );
        uid([
            &deadline,
            &format!("{kind:?}"),
            &self.summary,
            &self.description,
        ])
    }
}

/// The licences of an order in words.
fn licences(order: &Order<'_>) -> String {
    let (edition, kind) = match (order.edition_name(), &*order.kind) {
        ("", "") => (String::new(), String::new()),
        ("", kind) => (String::new(), format!(" of type {kind}")),
        (edition, _) => (format!("{edition} "), String::new()),
    };
    match order.licences {
        Some(1) => format!("1 {edition}licence{kind}"),
        Some(number) => format!("{number} {edition}licences{kind}"),
        None => format!("{edition}licences{kind}"),
    }
}

/// A digest of `parts`, without a hint at them: calendars are shared.
fn uid<const N: usize>(parts: [&str; N]) -> Uid {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}

/// A moment in the form of iCalendar.
fn time(moment: Moment) -> String {
    moment.utc().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A moment as the cloud's console shows it.
fn in_china(moment: Moment) -> String {
    let there = Moment(moment.0.saturating_add(8 * 3600)).utc();
    format!("{} (UTC+8)", there.strftime("%Y-%m-%d %H:%M:%S"))
}

/// The revision of an event as a number that fits into 31 bits until 2088.
fn sequence(revised: i64) -> i32 {
    const START_OF_2020: i64 = 1_577_836_800;
    let since = revised.saturating_sub(START_OF_2020).max(0);
    i32::try_from(since).unwrap_or(i32::MAX)
}

/// When each event changed last.
///
/// Calendars keep the event with the greatest number. So the number must never decrease, also
/// when a deadline moves back, and after a restart. The number is the time at which this
/// process first showed the event in its present form. A new process begins with its own time,
/// which is later.
#[derive(Debug, Default)]
pub(super) struct Revisions(HashMap<Uid, (Uid, i64)>);

impl Revisions {
    /// The most events that are remembered.
    const MOST: usize = 100_000;

    /// When the event got this digest, in Unix time.
    fn of(&mut self, uid: Uid, digest: Uid, now: i64) -> i64 {
        if self.0.len() >= Self::MOST {
            // Events of past orders are among them. The other events start again.
            self.0.clear();
        }
        let known = self.0.get(&uid).copied();
        let revised = match known {
            Some((same, revised)) if same == digest => revised,
            // Also where the clock was set back.
            Some((_, before)) => now.max(before + 1),
            None => now,
        };
        self.0.insert(uid, (digest, revised));
        revised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::status::orders::Attention;

    const SOURCE: Source<'_> = Source {
        account: "prod",
        stale_since: None,
    };

    fn order() -> Order<'static> {
        Order {
            order: "cwplic-1".into(),
            edition: "professional".into(),
            source: "paid".into(),
            status: "normal".into(),
            renewal: "manual".into(),
            deadline: Some(Moment(1_800_843_063)),
            licences: Some(50),
            ..Order::default()
        }
    }

    fn event(change: impl FnOnce(&mut Order<'static>)) -> Event {
        let mut order = order();
        change(&mut order);
        Event::of_licences(&order, SOURCE).unwrap()
    }

    fn written(event: &Event, revisions: &mut Revisions, now: i64) -> String {
        let mut lines = Lines::default();
        event.write(&mut lines, revisions, now);
        lines.into_string().replace("\r\n ", "")
    }

    #[test]
    fn an_order_that_nothing_renews_has_an_event_with_alarms_30_and_7_days_before() {
        let text = written(&event(|_| ()), &mut Revisions::default(), 1_800_000_000);
        for line in [
            "DTSTAMP:20270115T080000Z",
            "LAST-MODIFIED:20270115T080000Z",
            "SEQUENCE:222163200",
            "DTSTART:20270125T021103Z",
            "SUMMARY:prod: order of 50 professional licences ends",
            "STATUS:CONFIRMED",
            "TRIGGER:-P30D",
            "TRIGGER:-P7D",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
        }
        assert!(
            text.contains("Deadline: 2027-01-25 10:11:03 (UTC+8)\\n"),
            "{text}"
        );
    }

    #[test]
    fn events_that_ask_for_nothing_have_no_alarm() {
        let auto = event(|order| order.renewal = "auto".into());
        let overdue = event(|order| {
            order.renewal = "auto".into();
            order.attention = Attention::Now;
        });
        let trial = event(|order| order.source = "trial".into());
        let isolated = event(|order| order.status = "isolated".into());
        for (event, summary) in [
            (
                &auto,
                "prod: order of 50 professional licences renews itself",
            ),
            (
                &trial,
                "prod: trial or gift of 50 professional licences ends",
            ),
            (
                &isolated,
                "prod: order of 50 professional licences is isolated",
            ),
        ] {
            assert_eq!(event.summary, summary);
            assert!(!event.has_alarms);
        }
        assert!(auto.is_tentative && !overdue.is_tentative && !isolated.is_tentative);
    }

    #[test]
    fn the_licences_are_named_as_far_as_they_are_known() {
        let named = |change: fn(&mut Order<'static>)| {
            let mut order = order();
            change(&mut order);
            licences(&order)
        };
        assert_eq!(
            named(|order| order.licences = Some(1)),
            "1 professional licence"
        );
        assert_eq!(
            named(|order| order.licences = None),
            "professional licences"
        );
        let unknown = named(|order| {
            order.edition = "unknown".into();
            order.kind = "9".into();
        });
        assert_eq!(unknown, "50 licences of type 9");
        assert_eq!(named(|order| order.edition = "".into()), "50 licences");
        let ai = named(|order| order.edition = "ai_security".into());
        assert_eq!(ai, "50 AI security licences");
    }

    #[test]
    fn an_event_keeps_its_id_whatever_changes_and_orders_of_other_accounts_have_others() {
        let changed = event(|order| {
            order.deadline = Some(Moment(0));
            order.alias = "other".into();
            order.edition = "ultimate".into();
        });
        assert_eq!(changed.uid, event(|_| ()).uid);
        let elsewhere = Source {
            account: "other",
            ..SOURCE
        };
        let elsewhere = Event::of_licences(&order(), elsewhere).unwrap();
        let log = Event::of_log_service(&order(), SOURCE).unwrap();
        assert_ne!(elsewhere.uid, changed.uid);
        assert_ne!(log.uid, changed.uid);
        assert_ne!(uid(["a", "bc"]), uid(["ab", "c"]));
    }

    #[test]
    fn the_revision_increases_with_each_change_and_with_nothing_else() {
        let mut revisions = Revisions::default();
        let mut of = |event: &Event, now| revisions.of(event.uid, event.digest(), now);
        let first = event(|_| ());
        assert_eq!(of(&first, 100), 100);
        assert_eq!(of(&first, 200), 100);
        let earlier = event(|order| order.deadline = Some(Moment(5)));
        assert_eq!(of(&earlier, 300), 300, "a deadline that moves back");
        assert_eq!(of(&first, 300), 301, "within a second");
        assert_eq!(of(&earlier, 50), 302, "though the clock was set back");
        let mut restarted = Revisions::default();
        assert_eq!(restarted.of(first.uid, first.digest(), 400), 400);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut revisions = Revisions::default();
        for number in 0..=u32::try_from(Revisions::MOST).unwrap() {
            revisions.of(uid([&number.to_string()]), Uid::default(), 1);
        }
        assert_eq!(revisions.0.len(), 1);
    }

    #[test]
    fn a_sequence_is_never_beyond_31_bits() {
        assert_eq!(sequence(0), 0);
        assert_eq!(sequence(i64::MAX), i32::MAX);
    }
}
