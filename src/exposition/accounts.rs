//! The accounts' part: what is known of each account, family by family, written in
//! pages straight from the snapshots.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::defs;
use super::format::{Format, escaped, label, number};
use crate::collector::Sample;
use crate::metrics::{MetricDef, unix_seconds};
use crate::snapshot::{AccountState, CollectorState};

/// How large a page is, in bytes, about: large enough to cost nothing.
pub(super) const PAGE: usize = 256 * 1024;

/// A family that accounts have samples of. What never changes is prepared.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) def: &'static MetricDef,
    source: Source,
    text_head: String,
    openmetrics_head: String,
    /// How each line begins: `name{account="`.
    open: String,
    /// What leads from the account to the second label's value: `",name="`.
    second: String,
}

/// Where a family's samples come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// All accounts together.
    Whole(fn(&[Seen]) -> f64),
    /// The account.
    Account(fn(&Seen) -> Option<f64>),
    /// The account's settings.
    Info,
    /// A collector's state.
    State(fn(&CollectorState) -> Option<f64>),
    /// The last failure of a collector.
    FailureReason,
    /// The drift of a collector's answers.
    Drift,
    /// The values that a collector found.
    Samples,
}

/// An account, and the states of its collectors at the moment of the scrape.
#[derive(Debug)]
struct Seen {
    account: Arc<AccountState>,
    /// The account's name as it stands in a label, if that is another.
    escaped: Option<String>,
    states: Vec<SeenState>,
}

/// The state of one collector at that moment.
#[derive(Debug)]
struct SeenState {
    collector: &'static str,
    state: Arc<CollectorState>,
    /// Whether its values are young enough to be shown.
    fresh: bool,
    /// How many of its values are written; they are in the order of the families.
    written: usize,
}

/// The accounts' part of a scrape in pages. What it shows is what was known when it
/// began; its text is written only as it is taken.
#[derive(Debug)]
pub struct Pages {
    format: Format,
    families: Arc<[Family]>,
    accounts: Vec<Seen>,
    /// Which family is written, from which account on, and whether it has a head.
    family: usize,
    account: usize,
    begun: bool,
}

impl Family {
    pub(super) fn new(def: &'static MetricDef) -> Self {
        let mut family = Self {
            def,
            source: Source::of(def),
            text_head: String::new(),
            openmetrics_head: String::new(),
            open: format!("{}{{account=\"", def.name),
            second: match def.labels.get(1) {
                Some(name) => format!("\",{name}=\""),
                None => String::new(),
            },
        };
        Format::Text.head(def, &mut family.text_head);
        Format::OpenMetrics.head(def, &mut family.openmetrics_head);
        family
    }

    fn head(&self, format: Format) -> &str {
        match format {
            Format::Text => &self.text_head,
            Format::OpenMetrics => &self.openmetrics_head,
        }
    }

    /// Writes the samples of `seen`.
    fn write(&self, seen: &mut Seen, out: &mut String) {
        let account = seen.escaped.as_deref().unwrap_or(&seen.account.name);
        match self.source {
            Source::Whole(_) => {}
            Source::Account(value) => {
                if let Some(value) = value(seen) {
                    self.sample(account, value, out);
                }
            }
            Source::Info => {
                let region = seen.account.region.as_deref().unwrap_or_default();
                self.begin(account, &escaped(&seen.account.endpoint), out);
                label(out, ',', ["", "region"], region);
                for (name, value) in &seen.account.labels {
                    label(out, ',', ["label_", name], value);
                }
                out.push_str("} 1\n");
            }
            Source::State(value) => {
                for SeenState {
                    collector, state, ..
                } in &seen.states
                {
                    if let Some(value) = value(state) {
                        self.labelled(account, collector, value, out);
                    }
                }
            }
            Source::FailureReason => {
                for SeenState {
                    collector, state, ..
                } in &seen.states
                {
                    let attempt = state.last_attempt.as_ref();
                    if let Some(failure) = attempt.and_then(|attempt| attempt.failure.as_ref()) {
                        self.begin(account, collector, out);
                        label(out, ',', ["", "reason"], failure.reason.as_str());
                        out.push_str("} 1\n");
                    }
                }
            }
            Source::Drift => {
                for SeenState {
                    collector, state, ..
                } in &seen.states
                {
                    for drift in &*state.drift {
                        self.begin(account, collector, out);
                        label(out, ',', ["", "field"], &drift.field);
                        label(out, ',', ["", "kind"], drift.kind.as_str());
                        out.push_str("} 1\n");
                    }
                }
            }
            Source::Samples => {
                for seen in &mut seen.states {
                    while let Some(sample) = next_of(&seen.state, seen.fresh, seen.written)
                        && is_same(sample.metric, self.def)
                    {
                        seen.written += 1;
                        match &sample.label {
                            _ if self.second.is_empty() => self.sample(account, sample.value, out),
                            Cow::Borrowed(literal) => {
                                self.labelled(account, literal, sample.value, out);
                            }
                            Cow::Owned(found) => {
                                let found = escaped(found);
                                self.labelled(account, &found, sample.value, out);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Writes a sample with the label account only, whose value is escaped already.
    fn sample(&self, account: &str, value: f64, out: &mut String) {
        out.push_str(&self.open);
        out.push_str(account);
        out.push_str("\"} ");
        number(value, out);
        out.push('\n');
    }

    /// Writes a sample with the definition's second label, whose value is escaped too.
    fn labelled(&self, account: &str, second: &str, value: f64, out: &mut String) {
        out.push_str(&self.open);
        out.push_str(account);
        out.push_str(&self.second);
        out.push_str(second);
        out.push_str("\"} ");
        number(value, out);
        out.push('\n');
    }

    /// Writes a line up to its second label, whose value is escaped already.
    fn begin(&self, account: &str, second: &str, out: &mut String) {
        out.push_str(&self.open);
        out.push_str(account);
        out.push_str(&self.second);
        out.push_str(second);
        out.push('"');
    }
}

impl Source {
    fn of(def: &'static MetricDef) -> Self {
        if def == defs::ACCOUNTS {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            Self::Whole(|accounts| accounts.len() as f64)
        } else if def == defs::UP {
            Self::Account(|seen| Some(one_if(seen.is_up())))
        } else if def == defs::CREDENTIAL_EXPIRY {
            Self::Account(|seen| {
                let states = seen.states.iter();
                let expiry = states.filter_map(|seen| seen.state.credential_expires_at);
                expiry.max().map(unix_seconds)
            })
        } else if def == defs::ACCOUNT_INFO {
            Self::Info
        } else if def == defs::SUCCESS {
            Self::State(|state| state.succeeded().map(one_if))
        } else if def == defs::FAILURE_REASON {
            Self::FailureReason
        } else if def == defs::FAILURES {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            Self::State(|state| Some(state.failures as f64))
        } else if def == defs::DURATION {
            Self::State(|state| {
                let attempt = state.last_attempt.as_ref()?;
                Some(attempt.duration.as_secs_f64())
            })
        } else if def == defs::LAST_ATTEMPT {
            Self::State(|state| Some(unix_seconds(state.last_attempt.as_ref()?.at)))
        } else if def == defs::LAST_SUCCESS {
            Self::State(|state| Some(unix_seconds(state.last_success.as_ref()?.at)))
        } else if def == defs::RESTORED {
            Self::State(|state| state.restored.then_some(1.0))
        } else if def == defs::SCHEMA_DRIFT {
            Self::Drift
        } else {
            Self::Samples
        }
    }
}

impl Pages {
    /// The pages of `families` for `accounts`, and how long its values are young
    /// enough to be shown, seen from `now` on.
    pub(super) fn new<'a>(
        format: Format,
        families: Arc<[Family]>,
        accounts: impl IntoIterator<Item = &'a Arc<AccountState>>,
        now: Timestamp,
        max_age: Duration,
    ) -> (Self, Duration) {
        let mut fresh_for = Duration::MAX;
        let accounts = accounts.into_iter();
        let accounts = accounts.map(|account| Seen::new(account, now, max_age, &mut fresh_for));
        let pages = Self {
            format,
            families,
            accounts: accounts.collect(),
            family: 0,
            account: 0,
            begun: false,
        };
        (pages, fresh_for)
    }

    /// Appends the next page to `out`. Nothing is appended once all are written.
    pub fn next_page(&mut self, out: &mut String) {
        let families = Arc::clone(&self.families);
        let end = out.len().saturating_add(PAGE);
        while let Some(family) = families.get(self.family) {
            if let Source::Whole(value) = family.source {
                out.push_str(family.head(self.format));
                out.push_str(family.def.name);
                out.push(' ');
                number(value(&self.accounts), out);
                out.push('\n');
                self.account = self.accounts.len();
            }
            for seen in self.accounts.iter_mut().skip(self.account) {
                if out.len() >= end {
                    return;
                }
                self.account += 1;
                let (before, head) = (out.len(), family.head(self.format));
                if !self.begun {
                    out.push_str(head);
                }
                let begun = out.len();
                family.write(seen, out);
                if !self.begun && out.len() == begun {
                    out.truncate(before);
                } else {
                    self.begun = true;
                }
            }
            (self.family, self.account, self.begun) = (self.family + 1, 0, false);
        }
    }
}

impl Iterator for Pages {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut page = String::new();
        self.next_page(&mut page);
        Some(page).filter(|page| !page.is_empty())
    }
}

impl Seen {
    fn new(
        account: &Arc<AccountState>,
        now: Timestamp,
        max_age: Duration,
        fresh_for: &mut Duration,
    ) -> Self {
        let states = account.slots.iter().map(|slot| {
            let state = slot.load();
            let left = state.fresh_for(now, max_age);
            if let Some(left) = left {
                *fresh_for = left.min(*fresh_for);
            }
            SeenState {
                collector: slot.collector().name(),
                state,
                fresh: left.is_some(),
                written: 0,
            }
        });
        Self {
            states: states.collect(),
            escaped: match escaped(&account.name) {
                Cow::Owned(escaped) => Some(escaped),
                Cow::Borrowed(_) => None,
            },
            account: Arc::clone(account),
        }
    }

    /// Whether everything that was collected last can be relied on. Values that have
    /// grown too old to show can not, whatever their collection said.
    fn is_up(&self) -> bool {
        let mut states = self.states.iter();
        states.all(|seen| seen.state.succeeded() == Some(true) && seen.fresh)
    }
}

fn next_of(state: &CollectorState, fresh: bool, written: usize) -> Option<&Sample> {
    let success = state.last_success.as_ref().filter(|_| fresh)?;
    success.samples.get(written)
}

/// Whether both are the same metric, asked often: mostly one look at the place suffices.
fn is_same(one: &'static MetricDef, other: &'static MetricDef) -> bool {
    std::ptr::eq(one, other) || one.name == other.name
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}
