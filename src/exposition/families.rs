//! The accounts' part of a scrape: what is known of all accounts, family by family.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use super::defs;
use crate::collection::snapshot::{self, Accounts, BorrowedLines, CollectorState, Slot};
use crate::collectors::Schedule;
use crate::metrics::format::{Format, line};
use crate::metrics::{MetricDef, unix_seconds};
use crate::system::clock::TimePoint;

/// How much text is written at a time, in bytes.
const PAGE: usize = 32 * 1024;

/// The families of a set of accounts, in the order of their names. What does not change
/// with the snapshots is prepared.
pub(super) struct Families {
    pub(super) of: Arc<Accounts>,
    list: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    def: &'static MetricDef,
    /// The lines that begin it, in each format.
    text_head: Vec<u8>,
    openmetrics_head: Vec<u8>,
    source: LineSource,
}

/// Where the lines of a family come from.
#[derive(Debug)]
enum LineSource {
    /// The lines are these, whatever the snapshots.
    Fixed(Vec<u8>),
    /// Whether each account is up.
    Up,
    /// When each account's key expires, if it does.
    CredentialExpiry,
    /// One line for each account and collector, if it has a value. Times are told by the
    /// clock at the scrape, which may have been set since.
    Collector(fn(&CollectorState, TimePoint) -> Option<f64>),
    /// The lines that were written when collections ended.
    Written(Vec<Written>),
}

/// The lines of a family in the slot of one collector.
#[derive(Debug)]
struct Written {
    /// The number of the slot in each account.
    slot: usize,
    /// The number of the family in the slot's lines.
    family: usize,
    /// Whether the lines are values of the cloud, which can be too old to be shown.
    ages: bool,
}

/// The state in one slot at a scrape.
struct SlotState<'a> {
    state: &'a CollectorState,
    lines: BorrowedLines<'a>,
    /// Whether its values are young enough to be shown.
    is_fresh: bool,
}

impl Families {
    pub(super) fn new(of: Arc<Accounts>) -> Self {
        let slots = slots(&of);
        let of_collectors = slots.iter().flat_map(|slot| slot.collector().metrics());
        let mut all: Vec<&'static MetricDef> = of_collectors.copied().collect();
        all.extend([defs::ALL, snapshot::defs::ALL].concat());
        all.sort_by_key(|def| def.name);
        let list = all.into_iter().map(|def| {
            let head = |format: Format| {
                let mut head = Vec::new();
                format.head(def, &mut head);
                head
            };
            Family {
                def,
                text_head: head(Format::Text),
                openmetrics_head: head(Format::OpenMetrics),
                source: LineSource::of(def, &of),
            }
        });
        Self {
            list: list.collect(),
            of,
        }
    }

    /// Keeps those that tell about the account itself rather than about this process.
    pub(super) fn retain(&mut self, keep: impl Fn(&MetricDef) -> bool) {
        self.list.retain(|family| keep(family.def));
    }

    /// Writes what is known at `now`, and returns how long from then on all values are
    /// young enough to be shown.
    pub(super) fn write(
        &self,
        format: Format,
        now: TimePoint,
        out: &mut impl Write,
    ) -> io::Result<Duration> {
        let slots = || self.of.list().iter().flat_map(|account| &account.slots);
        let states: Vec<Arc<CollectorState>> = slots().map(Slot::load).collect();
        let mut fresh_for = Duration::MAX;
        let states = slots().zip(&states).map(|(slot, state)| {
            let left = state.fresh_for(now, slot.schedule().max_age);
            fresh_for = fresh_for.min(left.unwrap_or(Duration::MAX));
            SlotState {
                state,
                lines: state.lines.borrowed(),
                is_fresh: left.is_some(),
            }
        });
        let states: Vec<SlotState<'_>> = states.collect();
        let mut out = BufWriter::with_capacity(PAGE, out);
        for family in &self.list {
            let mut lines = FamilyLines {
                def: family.def,
                head: Some(match format {
                    Format::Text => &family.text_head,
                    Format::OpenMetrics => &family.openmetrics_head,
                }),
                line: Vec::new(),
                out: &mut out,
            };
            self.write_family(&family.source, &states, now, &mut lines)?;
        }
        out.flush()?;
        Ok(fresh_for)
    }

    fn write_family(
        &self,
        source: &LineSource,
        states: &[SlotState<'_>],
        now: TimePoint,
        lines: &mut FamilyLines<'_, impl Write>,
    ) -> io::Result<()> {
        let slots = slots(&self.of);
        let accounts = self.of.list().iter();
        let accounts = accounts.zip(states.chunks(slots.len().max(1)));
        match source {
            LineSource::Fixed(text) => lines.put(text)?,
            LineSource::Up => {
                for (account, states) in accounts {
                    let states = states.iter().map(|state| state.state);
                    let up = snapshot::is_up(account.slots.iter().zip(states), now);
                    let labels = [("account", account.name.as_str())];
                    lines.put_value(labels, Some(f64::from(u8::from(up))))?;
                }
            }
            LineSource::CredentialExpiry => {
                for (account, _) in accounts {
                    let labels = [("account", account.name.as_str())];
                    let expiry = account.key_source.expires_at();
                    lines.put_value(labels, expiry.map(unix_seconds))?;
                }
            }
            LineSource::Collector(value) => {
                for (account, states) in accounts {
                    for (slot, state) in slots.iter().zip(states) {
                        let collector = ("collector", slot.collector().name());
                        let labels = [("account", account.name.as_str()), collector];
                        lines.put_value(labels, value(state.state, now))?;
                    }
                }
            }
            LineSource::Written(places) => {
                for (_, states) in accounts {
                    for place in places {
                        if let Some(state) = states.get(place.slot)
                            && (state.is_fresh || !place.ages)
                        {
                            lines.put(state.lines.family(place.family))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The slots of every account: each has the same collectors in the same order.
fn slots(accounts: &Accounts) -> &[Slot] {
    let first = accounts.list().first();
    first.map_or(&[], |account| &account.slots)
}

/// Writes the lines of one family. A family without lines leaves no trace.
struct FamilyLines<'a, W> {
    def: &'static MetricDef,
    /// The text before the first line, until it is written.
    head: Option<&'a [u8]>,
    /// Memory for a line.
    line: Vec<u8>,
    out: &'a mut W,
}

impl<W: Write> FamilyLines<'_, W> {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(head) = self.head.take() {
            self.out.write_all(head)?;
        }
        self.out.write_all(lines)
    }

    fn put_value<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        value: Option<f64>,
    ) -> io::Result<()> {
        let Some(value) = value else {
            return Ok(());
        };
        let mut text = std::mem::take(&mut self.line);
        text.clear();
        line(&mut text, self.def.name, labels, value);
        self.put(&text)?;
        self.line = text;
        Ok(())
    }
}

impl LineSource {
    fn of(def: &'static MetricDef, accounts: &Accounts) -> Self {
        if def == defs::ACCOUNTS {
            let mut text = Vec::new();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            line(&mut text, def.name, [], accounts.list().len() as f64);
            Self::Fixed(text)
        } else if def == defs::ACCOUNT_INFO {
            Self::Fixed(account_infos(accounts))
        } else if def == defs::INTERVAL {
            Self::Fixed(schedules(def, accounts, |schedule| schedule.interval))
        } else if def == defs::MAX_AGE {
            Self::Fixed(schedules(def, accounts, |schedule| schedule.max_age))
        } else if def == defs::UP {
            Self::Up
        } else if def == defs::CREDENTIAL_EXPIRY {
            Self::CredentialExpiry
        } else if def == defs::LAST_ATTEMPT {
            Self::Collector(|state, now| {
                let at = state.last_attempt.as_ref()?.at;
                Some(unix_seconds(now.time_of(at)))
            })
        } else if def == defs::LAST_SUCCESS {
            Self::Collector(|state, now| {
                let at = state.last_success.as_ref()?.at;
                Some(unix_seconds(now.time_of(at)))
            })
        } else {
            let of_slot = |(slot, of): (usize, &Slot)| {
                let values = of.collector().metrics();
                let mut all = values.iter().chain(snapshot::defs::ALL);
                let family = all.position(|each| *each == def)?;
                let ages = family < values.len();
                Some(Written { slot, family, ages })
            };
            let slots = slots(accounts).iter().enumerate();
            Self::Written(slots.filter_map(of_slot).collect())
        }
    }
}

/// A line for each collector.
fn schedules(
    def: &MetricDef,
    accounts: &Accounts,
    value: impl Fn(&Schedule) -> Duration,
) -> Vec<u8> {
    let mut text = Vec::new();
    for slot in slots(accounts) {
        let labels = [("collector", slot.collector().name())];
        let value = value(slot.schedule()).as_secs_f64();
        line(&mut text, def.name, labels, value);
    }
    text
}

fn account_infos(accounts: &Accounts) -> Vec<u8> {
    let mut text = Vec::new();
    for account in accounts.list() {
        let configured: Vec<(String, &str)> = account
            .labels
            .iter()
            .map(|(name, value)| (format!("label_{name}"), value.as_str()))
            .collect();
        let known = [
            ("account", account.name.as_str()),
            ("endpoint", account.endpoint.as_str()),
            ("region", account.region.as_deref().unwrap_or_default()),
        ];
        let configured = configured
            .iter()
            .map(|(name, value)| (name.as_str(), *value));
        let labels = known.into_iter().chain(configured);
        line(&mut text, defs::ACCOUNT_INFO.name, labels, 1.0);
    }
    text
}
