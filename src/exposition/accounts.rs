//! The accounts' part: what is known of each account, family by family, written in
//! pages straight from the snapshots.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::defs;
use super::format::{Format, end_line, escaped, label};
use super::labels::{AccountLabels, Labels};
use super::page::{Page, Sink as _};
use crate::metrics::{MetricDef, unix_seconds};
use crate::snapshot::CollectorState;

/// How large a page is, in bytes, about: large enough to cost nothing.
pub(super) const PAGE: usize = 256 * 1024;

/// A family that accounts have samples of. What never changes is prepared.
#[derive(Debug)]
pub(super) struct Family {
    def: &'static MetricDef,
    source: Source,
    text_head: Vec<u8>,
    openmetrics_head: Vec<u8>,
    /// How each line begins: `name{account="`.
    open: Vec<u8>,
    /// What leads from the account to the second label's value: `",name="`.
    second: Vec<u8>,
}

/// Where a family's samples come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The number of accounts.
    Count,
    /// Whether an account is up.
    Up,
    /// When an account's key expires.
    CredentialExpiry,
    /// An account's settings.
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

/// The state of a collector at the moment of the scrape.
#[derive(Debug)]
struct Seen {
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
    labels: Arc<Labels>,
    /// Of one account after the other.
    seen: Vec<Seen>,
    /// What is written next.
    next: Place,
}

/// A place in the text.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    family: usize,
    account: usize,
    /// The account's first state.
    state: usize,
    /// Whether the family's head is written.
    begun: bool,
}

impl Family {
    pub(super) fn new(def: &'static MetricDef) -> Self {
        let head = |format: Format| {
            let mut head = Vec::new();
            format.head(def, &mut head);
            head
        };
        let second = def.labels.get(1).map(|name| format!("\",{name}=\""));
        Self {
            def,
            source: Source::of(def),
            text_head: head(Format::Text),
            openmetrics_head: head(Format::OpenMetrics),
            open: format!("{}{{account=\"", def.name).into(),
            second: second.unwrap_or_default().into(),
        }
    }

    fn head(&self, format: Format) -> &[u8] {
        match format {
            Format::Text => &self.text_head,
            Format::OpenMetrics => &self.openmetrics_head,
        }
    }

    /// Writes a line with these labels.
    fn line(&self, labels: &[u8], value: f64, out: &mut Page) {
        out.put(&self.open);
        out.put(labels);
        end_line(value, out);
    }

    /// Writes a line with the value 1, these labels and further ones.
    fn line_with(&self, labels: &[u8], more: &[(&str, &str)], out: &mut Page) {
        out.put(&self.open);
        out.put(labels);
        out.put(b"\"");
        for (name, value) in more {
            label(out, ["", name], value);
        }
        out.put(b"} 1\n");
    }

    /// Writes the values that a collector found.
    fn samples(&self, account: &[u8], seen: &mut Seen, out: &mut Page) {
        let success = seen.state.last_success.as_ref().filter(|_| seen.fresh);
        let left = success.and_then(|success| success.samples.get(seen.written..));
        let mut beginning = None;
        for sample in left.unwrap_or_default() {
            if !is_same(sample.metric, self.def) {
                break;
            }
            seen.written += 1;
            // All lines of an account begin the same.
            if let Some((start, end)) = beginning {
                out.repeat(start, end);
            } else {
                let start = out.len();
                out.put(&self.open);
                out.put(account);
                if !self.second.is_empty() {
                    out.put(&self.second);
                }
                beginning = Some((start, out.len()));
            }
            if !self.second.is_empty() {
                match &sample.label {
                    // Ours, with nothing to escape.
                    Cow::Borrowed(literal) => out.put(literal.as_bytes()),
                    Cow::Owned(found) => out.put(&escaped(found.as_bytes())),
                }
            }
            end_line(sample.value, out);
        }
    }
}

impl Source {
    fn of(def: &'static MetricDef) -> Self {
        if def == defs::ACCOUNTS {
            Self::Count
        } else if def == defs::UP {
            Self::Up
        } else if def == defs::CREDENTIAL_EXPIRY {
            Self::CredentialExpiry
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
    /// The pages of `families` for the accounts with these labels, and how long its
    /// values are young enough to be shown, seen from `now` on.
    pub(super) fn new(
        format: Format,
        families: Arc<[Family]>,
        labels: Arc<Labels>,
        now: Timestamp,
    ) -> (Self, Duration) {
        let mut fresh_for = Duration::MAX;
        let max_age = labels.of.max_age();
        let slots = labels.of.list().iter().flat_map(|account| &account.slots);
        let seen = slots.map(|slot| {
            let state = slot.load();
            let left = state.fresh_for(now, max_age);
            fresh_for = left.map_or(fresh_for, |left| left.min(fresh_for));
            Seen {
                state,
                fresh: left.is_some(),
                written: 0,
            }
        });
        let pages = Self {
            format,
            families,
            seen: seen.collect(),
            labels,
            next: Place::default(),
        };
        (pages, fresh_for)
    }

    /// Appends the next page to `out`. Nothing is appended once all are written.
    pub fn next_page(&mut self, out: &mut Page) {
        let families = Arc::clone(&self.families);
        let end = out.len().saturating_add(PAGE);
        while let Some(family) = families.get(self.next.family) {
            self.write(family, end, out);
            if self.next.account < self.labels.accounts.len() {
                return;
            }
            self.next = Place {
                family: self.next.family + 1,
                ..Place::default()
            };
        }
    }

    /// Writes a family, or as much of it as fits up to `end`.
    fn write(&mut self, family: &Family, end: usize, out: &mut Page) {
        match family.source {
            Source::Count => {
                self.next.account = self.labels.accounts.len();
                out.put(family.head(self.format));
                let count = self.next.account.to_string();
                for piece in [family.def.name, " ", &count, "\n"] {
                    out.put(piece.as_bytes());
                }
            }
            Source::Up => self.each(family, end, out, |labels, seen, out| {
                family.line(&labels.account, one_if(is_up(seen)), out);
            }),
            Source::CredentialExpiry => self.each(family, end, out, |labels, seen, out| {
                let expiry = seen
                    .iter()
                    .filter_map(|seen| seen.state.credential_expires_at);
                if let Some(expiry) = expiry.max() {
                    family.line(&labels.account, unix_seconds(expiry), out);
                }
            }),
            Source::Info => self.each(family, end, out, |labels, _, out| {
                family.line(&labels.info, 1.0, out);
            }),
            Source::State(value) => self.each(family, end, out, |labels, seen, out| {
                for (labels, seen) in labels.collectors.iter().zip(seen) {
                    if let Some(value) = value(&seen.state) {
                        family.line(labels, value, out);
                    }
                }
            }),
            Source::FailureReason => self.each(family, end, out, |labels, seen, out| {
                for (labels, seen) in labels.collectors.iter().zip(seen) {
                    let attempt = seen.state.last_attempt.as_ref();
                    if let Some(failure) = attempt.and_then(|attempt| attempt.failure.as_ref()) {
                        let reason = [("reason", failure.reason.as_str())];
                        family.line_with(labels, &reason, out);
                    }
                }
            }),
            Source::Drift => self.each(family, end, out, |labels, seen, out| {
                for (labels, seen) in labels.collectors.iter().zip(seen) {
                    for drift in &*seen.state.drift {
                        let drift = [("field", &*drift.field), ("kind", drift.kind.as_str())];
                        family.line_with(labels, &drift, out);
                    }
                }
            }),
            Source::Samples => self.each(family, end, out, |labels, seen, out| {
                for seen in seen {
                    family.samples(&labels.account, seen, out);
                }
            }),
        }
    }

    /// Lets `write` write each account that is left, as long as there is space.
    fn each(
        &mut self,
        family: &Family,
        end: usize,
        out: &mut Page,
        write: impl Fn(&AccountLabels, &mut [Seen], &mut Page),
    ) {
        let labels = self.labels.accounts.get(self.next.account..);
        let mut seen = self.seen.get_mut(self.next.state..).unwrap_or_default();
        let mut next = self.next;
        for labels in labels.unwrap_or_default() {
            if out.len() >= end {
                break;
            }
            let states = labels.collectors.len().min(seen.len());
            let (these, others) = seen.split_at_mut(states);
            seen = others;
            next.account += 1;
            next.state += states;
            let start = out.len();
            write(labels, these, out);
            // A family without samples leaves no trace.
            if !next.begun && out.len() > start {
                let head = family.head(self.format);
                out.put(head);
                out.since(start).rotate_right(head.len());
                next.begun = true;
            }
        }
        self.next = next;
    }
}

impl Iterator for Pages {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut page = Page::default();
        self.next_page(&mut page);
        Some(page.into_text()).filter(|page| !page.is_empty())
    }
}

/// Whether everything that was collected last can be relied on. Values that have grown
/// too old to show can not, whatever their collection said.
fn is_up(seen: &[Seen]) -> bool {
    let mut seen = seen.iter();
    seen.all(|seen| seen.fresh && seen.state.succeeded() == Some(true))
}

/// Whether both are the same metric, asked often: mostly one look at the place suffices.
fn is_same(one: &'static MetricDef, other: &'static MetricDef) -> bool {
    std::ptr::eq(one, other) || one.name == other.name
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}
