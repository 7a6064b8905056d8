//! What is known of all accounts at a moment, family by family.
//!
//! Text is written family by family, but snapshots are kept account by account. With
//! thousands of accounts, families that each go from snapshot to snapshot mostly wait for
//! memory; so a snapshot is read once, into columns that are then read from end to end.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::defs;
use super::format::further_label;
use super::labels::Texts;
use crate::collection::snapshot::{AccountState, Accounts, CollectorState};
use crate::collectors::{self, ABSENT, Label, Samples, Series};
use crate::metrics::{MetricDef, unix_seconds};
use crate::system::clock::Moment;

/// How many accounts are read at a time: few enough for their snapshots to stay in the
/// processor's cache until the last family has read them.
const BLOCK: usize = 64;

/// How much memory is kept for the next columns, in columns: what is there is replaced
/// while it is sent.
const MOST_SPARE: usize = 1;

/// Memory of columns that are gone, for the next ones. Threads that render columns in turn
/// would otherwise each keep some in a heap of their own.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<f64>>>);

/// What is known of each family at a moment.
#[derive(Debug)]
pub(super) struct Columns {
    /// The numbers of all of them.
    numbers: Vec<f64>,
    /// Where their memory goes.
    spare: Arc<Spare>,
    places: Vec<Place>,
    /// How long all values are young enough to be shown.
    pub(super) fresh_for: Duration,
}

/// Where a column is kept.
#[derive(Debug)]
enum Place {
    Count(usize),
    Numbers(Range<usize>),
    Marks(Marks),
}

/// What is known of a family at a moment.
#[derive(Debug)]
pub(super) enum Column<'a> {
    /// A number for all accounts together.
    Count(usize),
    /// A number of each series for each row, one row after the other; [`ABSENT`] where there
    /// is none.
    Numbers(&'a [f64]),
    /// Lines with the value 1 and labels of their own.
    Marks(&'a Marks),
}

/// Lines with the value 1 and labels of their own, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The row of each.
    pub(super) rows: Vec<usize>,
    /// What stands behind the row's labels.
    pub(super) labels: Texts,
}

/// Where what is known of a family is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The number of accounts.
    Count,
    /// That there is an account.
    Info,
    /// Whether an account is up.
    Up,
    /// When an account's key expires.
    CredentialExpiry,
    /// A collector's state.
    State(fn(&CollectorState, Moment) -> Option<f64>),
    /// The last failure of a collector.
    FailureReason,
    /// The drift of a collector's answers.
    Drift,
    /// Numbers among the values that a collector found.
    Numbers(Part),
    /// A word among them, whose label has this name.
    Word(Part, &'static str),
}

/// Some of the series of a collector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Which of all collectors.
    collector: usize,
    first: usize,
    count: usize,
}

/// What is known of some accounts.
#[derive(Debug)]
struct Block<'a> {
    /// The moment of the scrape.
    now: Moment,
    accounts: &'a [Arc<AccountState>],
    /// The number of the first account, and that of its first state.
    first: [usize; 2],
    /// The states of one account after the other.
    seen: Vec<Seen<'a>>,
    /// For one collector after the other, the samples of each account that can be shown.
    samples: Vec<Option<&'a Samples>>,
}

/// The state of a collector at the moment of the scrape.
#[derive(Debug)]
struct Seen<'a> {
    state: &'a CollectorState,
    /// Whether its values are young enough to be shown.
    fresh: bool,
}

impl Spare {
    /// So many numbers, all of them absent.
    fn take(&self, count: usize) -> Vec<f64> {
        let mut numbers = self.kept().pop().unwrap_or_default();
        numbers.clear();
        numbers.resize(count, ABSENT);
        numbers
    }

    /// Lets go of all of it.
    pub(super) fn clear(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<f64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        let mut kept = self.spare.kept();
        if kept.len() < MOST_SPARE {
            kept.push(mem::take(&mut self.numbers));
        }
    }
}

impl Columns {
    /// What these `sources` say of `accounts` at `now`.
    pub(super) fn read(
        sources: impl Iterator<Item = Source> + Clone,
        accounts: &Accounts,
        now: Moment,
        spare: &Arc<Spare>,
    ) -> Self {
        let slots = accounts.list().iter().map(|account| account.slots.len());
        let rows = [accounts.list().len(), slots.sum()];
        let mut end = 0;
        let places = sources.clone().map(|source| match source {
            Source::Count => Place::Count(rows[0]),
            Source::FailureReason | Source::Drift | Source::Word(..) => {
                Place::Marks(Marks::default())
            }
            _ => {
                let start = end;
                end += source.numbers(rows);
                Place::Numbers(start..end)
            }
        });
        let mut columns = Self {
            places: places.collect(),
            numbers: spare.take(end),
            spare: Arc::clone(spare),
            fresh_for: Duration::MAX,
        };
        let mut first = [0, 0];
        let mut states = Vec::with_capacity(BLOCK.min(rows[1]));
        for some in accounts.list().chunks(BLOCK) {
            states.clear();
            let slots = some.iter().flat_map(|account| &account.slots);
            states.extend(slots.map(|slot| slot.load()));
            let seen = states.iter().map(|state| {
                let left = state.fresh_for(now, accounts.max_age());
                columns.fresh_for = columns.fresh_for.min(left.unwrap_or(Duration::MAX));
                Seen {
                    state,
                    fresh: left.is_some(),
                }
            });
            let block = Block::new(some, first, seen.collect(), now);
            columns.add(&block, sources.clone());
            first = [first[0] + some.len(), first[1] + states.len()];
        }
        columns
    }

    fn add(&mut self, block: &Block<'_>, sources: impl Iterator<Item = Source>) {
        for (source, place) in sources.zip(&mut self.places) {
            match place {
                Place::Count(_) => {}
                Place::Numbers(range) => {
                    let numbers = self.numbers.get_mut(range.clone());
                    source.read_numbers(block, numbers.unwrap_or_default());
                }
                Place::Marks(marks) => source.read_marks(block, marks),
            }
        }
    }

    /// How many bytes are kept for all of it.
    pub(super) fn kept_bytes(&self) -> usize {
        let marks = self.places.iter().map(|place| match place {
            Place::Marks(marks) => size_of_val(marks.rows.as_slice()) + marks.labels.kept_bytes(),
            _ => 0,
        });
        size_of_val(self.numbers.as_slice()) + marks.sum::<usize>()
    }

    /// The column of the family with this number.
    pub(super) fn get(&self, family: usize) -> Option<Column<'_>> {
        Some(match self.places.get(family)? {
            Place::Count(count) => Column::Count(*count),
            Place::Numbers(range) => Column::Numbers(self.numbers.get(range.clone())?),
            Place::Marks(marks) => Column::Marks(marks),
        })
    }
}

impl Column<'_> {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Count(_) => false,
            Self::Numbers(numbers) => numbers.iter().all(|number| number.is_nan()),
            Self::Marks(marks) => marks.rows.is_empty(),
        }
    }
}

impl Marks {
    fn push(&mut self, row: usize, labels: &[(&str, &str)]) {
        self.rows.push(row);
        self.labels.push(|text| {
            for (name, value) in labels {
                further_label(text, ["", name], value);
            }
        });
    }

    /// Appends a line with the last one's labels.
    fn repeat(&mut self, row: usize) {
        self.rows.push(row);
        self.labels.repeat_last();
    }
}

impl Source {
    /// Where what `def` describes is found.
    pub(super) fn of(def: &'static MetricDef) -> Self {
        if def == defs::ACCOUNTS {
            Self::Count
        } else if def == defs::UP {
            Self::Up
        } else if def == defs::CREDENTIAL_EXPIRY {
            Self::CredentialExpiry
        } else if def == defs::ACCOUNT_INFO {
            Self::Info
        } else if def == defs::SUCCESS {
            Self::State(|state, _| state.succeeded().map(one_if))
        } else if def == defs::FAILURE_REASON {
            Self::FailureReason
        } else if def == defs::FAILURES {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            Self::State(|state, _| Some(state.failures as f64))
        } else if def == defs::DURATION {
            Self::State(|state, _| {
                let attempt = state.last_attempt.as_ref()?;
                Some(attempt.duration.as_secs_f64())
            })
        } else if def == defs::LAST_ATTEMPT {
            Self::State(|state, now| {
                let at = state.last_attempt.as_ref()?.at;
                Some(unix_seconds(now.time_of(at)))
            })
        } else if def == defs::LAST_SUCCESS {
            Self::State(|state, now| {
                let at = state.last_success.as_ref()?.at;
                Some(unix_seconds(now.time_of(at)))
            })
        } else if def == defs::RESTORED {
            Self::State(|state, _| state.restored.then_some(1.0))
        } else if def == defs::SCHEMA_DRIFT {
            Self::Drift
        } else {
            Self::samples(def)
        }
    }

    fn samples(def: &'static MetricDef) -> Self {
        let has = |series: &[Series]| series.iter().any(|series| series.metric == def);
        let mut collectors = collectors::all().iter();
        let collector = collectors.position(|collector| has(collector.series()));
        let collector = collector.unwrap_or(usize::MAX);
        let series = series_of(collector).iter();
        let part = Part {
            collector,
            first: series
                .clone()
                .take_while(|series| series.metric != def)
                .count(),
            count: series.filter(|series| series.metric == def).count(),
        };
        match (part.labels().next(), def.labels) {
            (Some(Label::Found), [_, label, ..]) => Self::Word(part, label),
            _ => Self::Numbers(part),
        }
    }

    /// The series of a row that differ in a label only.
    pub(super) fn labels(self) -> impl Iterator<Item = Label> {
        let part = match self {
            Self::Numbers(part) => Some(part),
            _ => None,
        };
        part.into_iter().flat_map(|part| part.labels())
    }

    /// How many numbers it has for so many accounts and states of collectors.
    fn numbers(self, [accounts, states]: [usize; 2]) -> usize {
        match self {
            Self::Info | Self::Up | Self::CredentialExpiry => accounts,
            Self::State(_) => states,
            Self::Numbers(part) => accounts * part.count,
            Self::Count | Self::FailureReason | Self::Drift | Self::Word(..) => 0,
        }
    }

    /// Sets what a block tells of all `numbers`.
    fn read_numbers(self, block: &Block<'_>, numbers: &mut [f64]) {
        let [first_account, first_state] = block.first;
        match self {
            Self::Info => set(numbers, first_account, block.accounts.iter().map(|_| 1.0)),
            Self::Up => {
                let up = block.states().map(|seen| one_if(is_up(seen)));
                set(numbers, first_account, up);
            }
            Self::CredentialExpiry => {
                let expiries = block.states().map(|seen| {
                    let expiries = seen.iter();
                    let expiries = expiries.filter_map(|seen| seen.state.credential_expires_at);
                    expiries.max().map_or(ABSENT, unix_seconds)
                });
                set(numbers, first_account, expiries);
            }
            Self::State(value) => {
                let states = block.seen.iter();
                let values = states.map(|seen| value(seen.state, block.now).unwrap_or(ABSENT));
                set(numbers, first_state, values);
            }
            Self::Numbers(part) => {
                let first = first_account * part.count;
                for offset in 0..part.count {
                    let cells = numbers.get_mut(first + offset..).unwrap_or_default();
                    let cells = cells.iter_mut().step_by(part.count);
                    for (cell, samples) in cells.zip(block.samples(part.collector)) {
                        let values = samples.map_or(&[][..], Samples::values);
                        if let Some(value) = values.get(part.first + offset) {
                            *cell = *value;
                        }
                    }
                }
            }
            Self::Count | Self::FailureReason | Self::Drift | Self::Word(..) => {}
        }
    }

    /// Appends what a block tells to `marks`.
    fn read_marks(self, block: &Block<'_>, marks: &mut Marks) {
        let [first_account, first_state] = block.first;
        match self {
            Self::FailureReason => {
                for (row, seen) in (first_state..).zip(&block.seen) {
                    let attempt = seen.state.last_attempt.as_ref();
                    if let Some(failure) = attempt.and_then(|attempt| attempt.failure.as_ref()) {
                        marks.push(row, &[("reason", failure.reason.as_str())]);
                    }
                }
            }
            Self::Drift => {
                for (row, seen) in (first_state..).zip(&block.seen) {
                    for drift in &*seen.state.drift {
                        let labels = [("field", &*drift.field), ("kind", drift.kind.as_str())];
                        marks.push(row, &labels);
                    }
                }
            }
            Self::Word(part, label) => {
                let mut before = None;
                for (row, samples) in (first_account..).zip(block.samples(part.collector)) {
                    let Some(word) = samples.and_then(Samples::word) else {
                        continue;
                    };
                    // There are few words, and most accounts have the same.
                    if before == Some(word) {
                        marks.repeat(row);
                    } else {
                        marks.push(row, &[(label, word)]);
                        before = Some(word);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Part {
    fn labels(self) -> impl Iterator<Item = Label> {
        let series = series_of(self.collector).iter();
        let series = series.skip(self.first).take(self.count);
        series.map(|series| series.label)
    }
}

impl<'a> Block<'a> {
    fn new(
        accounts: &'a [Arc<AccountState>],
        first: [usize; 2],
        seen: Vec<Seen<'a>>,
        now: Moment,
    ) -> Self {
        let mut block = Self {
            now,
            accounts,
            first,
            seen,
            samples: Vec::new(),
        };
        let samples = collectors::all().iter().flat_map(|collector| {
            let series = collector.series();
            block.states().map(|seen| shown(seen, series))
        });
        block.samples = samples.collect();
        block
    }

    /// The states of each account.
    fn states(&self) -> impl Iterator<Item = &[Seen<'a>]> {
        let mut left = self.seen.as_slice();
        self.accounts.iter().map(move |account| {
            let count = account.slots.len();
            let (these, others) = left.split_at_checked(count).unwrap_or((left, &[]));
            left = others;
            these
        })
    }

    /// The samples of each account that this collector found.
    fn samples(&self, collector: usize) -> &[Option<&'a Samples>] {
        let mut samples = self.samples.chunks(self.accounts.len());
        samples.nth(collector).unwrap_or_default()
    }
}

/// The series of the collector with this number.
fn series_of(collector: usize) -> &'static [Series] {
    let collector = collectors::all().get(collector);
    collector.map_or(&[], |collector| collector.series())
}

/// The samples of an account that are of these series and can be shown.
fn shown<'a>(seen: &[Seen<'a>], series: &'static [Series]) -> Option<&'a Samples> {
    let fresh = seen.iter().filter(|seen| seen.fresh);
    let successes = fresh.filter_map(|seen| seen.state.last_success.as_ref());
    let mut samples = successes.map(|success| &success.samples);
    samples.find(|samples| std::ptr::eq(samples.series(), series))
}

/// Sets the numbers from the one with the number `first` on.
fn set(numbers: &mut [f64], first: usize, values: impl IntoIterator<Item = f64>) {
    let numbers = numbers.get_mut(first..).unwrap_or_default();
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = value;
    }
}

/// Whether everything that was collected last can be relied on. Values that have grown
/// too old to show can not, whatever their collection said.
fn is_up(seen: &[Seen<'_>]) -> bool {
    let mut seen = seen.iter();
    seen.all(|seen| seen.fresh && seen.state.succeeded() == Some(true))
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}
