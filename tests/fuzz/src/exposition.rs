//! The exposition: whatever the labels and values are, an independent reader finds the same
//! in both formats.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cwp_exporter::cloud::Error;
use cwp_exporter::collection::snapshot::{
    AccountState, Attempt, CollectorState, KeySource, Revision, Slot, Store, Success,
};
use cwp_exporter::collectors::{self, Drift, DriftKind, Sample, Schedule};
use cwp_exporter::exposition::{Exposition, Format};
use cwp_exporter::metrics::reason::Reason;
use cwp_exporter::system::clock::Clock;
use jiff::Timestamp;
use prometheus::Registry;

use crate::input::Values;
use crate::measure::{Bound, bounded};
use crate::reader::{self, Series};

/// Heads of all families, and the lists of families and slots.
const BOUND: Bound = Bound {
    bytes: 1024 * 1024,
    bytes_per_byte: 200,
};

pub fn run(input: &[u8]) {
    let mut values = Values(input);
    let clock = clock();
    let (store, expected) = store(&mut values, &clock);
    let exposition = Exposition::new(Registry::new(), Arc::new(store), clock, None);
    for format in [Format::Text, Format::OpenMetrics] {
        let text = bounded(input.len(), &BOUND, || exposition.render(format));
        let mut found = reader::read(format, &text.expect("memory takes every byte"));
        found.retain(|(name, _), _| expected.keys().any(|(known, _)| known == name));
        assert_eq!(found, expected, "{format:?}");
    }
}

/// Noon of some day, for ever.
pub fn clock() -> Clock {
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
    Clock::new(move || noon)
}

/// A key of which nothing is known.
pub struct NoKey;

impl KeySource for NoKey {
    fn text(&self) -> String {
        String::new()
    }

    fn expires_at(&self) -> Option<Timestamp> {
        None
    }

    fn quota(&self) -> Option<String> {
        None
    }

    fn spent(&self, _: &'static str) -> u32 {
        0
    }
}

/// An account with a slot for each collector.
pub fn account(name: &str, identity: &str) -> AccountState {
    let schedule = Schedule {
        max_age: Duration::from_secs(3600),
        ..Schedule::default()
    };
    let slot = |collector: &&'static dyn collectors::Collector| {
        Slot::new(*collector, name, schedule, &Revision::default())
    };
    AccountState {
        name: name.to_owned(),
        identity: identity.to_owned(),
        endpoint: String::new(),
        region: None,
        labels: BTreeMap::new(),
        key_source: Box::new(NoKey),
        slots: collectors::all().iter().map(slot).collect(),
    }
}

/// Accounts with values, and the samples that a scrape must have of these.
fn store(values: &mut Values<'_>, clock: &Clock) -> (Store, BTreeMap<Series, u64>) {
    let mut expected = BTreeMap::new();
    let mut accounts = Vec::new();
    for number in 0..1 + values.below(3) {
        // The configuration makes sure that names are unique.
        let name = format!("{number}{}", values.text());
        let mut state = account(&name, "");
        state.endpoint = values.text();
        state.region = Some(values.text());
        state.labels = BTreeMap::from([("team".to_owned(), values.text())]);
        let labels = [
            ("account", &name),
            ("endpoint", &state.endpoint),
            ("region", state.region.as_ref().expect("set above")),
            ("label_team", &state.labels["team"]),
        ];
        expect(&mut expected, "tencentcloud_cwp_account_info", labels, 1.0);
        for slot in &state.slots {
            let samples = samples(values, slot, &name, &mut expected);
            let drift = (0..values.below(3)).map(|number| Drift {
                field: format!("{number}{}", values.text()).into(),
                kind: DriftKind::Unknown,
            });
            let drift: Arc<[Drift]> = drift.collect();
            let collector = slot.collector().name().to_owned();
            for drift in &*drift {
                let (field, kind) = (drift.field.to_string(), "unknown".to_owned());
                let labels = [
                    ("account", &name),
                    ("collector", &collector),
                    ("field", &field),
                    ("kind", &kind),
                ];
                expect(&mut expected, "cwp_exporter_schema_drift", labels, 1.0);
            }
            let nanos = values.number() >> 16;
            let failure = (values.byte() == 1).then(|| Error::new(Reason::Timeout, values.text()));
            let failures = values.number();
            let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            for (name_end, value) in [
                ("duration_seconds", whole as f64 + part as f64 / 1e9),
                ("failures_total", failures as f64),
            ] {
                let metric = format!("cwp_exporter_collector_{name_end}");
                let labels = [("account", &name), ("collector", &collector)];
                expect(&mut expected, &metric, labels, value);
            }
            slot.store(CollectorState {
                last_attempt: Some(Attempt {
                    at: clock.moment(),
                    duration: Duration::from_nanos(nanos),
                    failure: failure.map(Box::new),
                }),
                last_success: Some(Success {
                    at: clock.moment(),
                    samples: samples.into(),
                    rows_hidden: None,
                    requests: 1,
                }),
                drift,
                failures,
                ..CollectorState::default()
            });
        }
        accounts.push(Arc::new(state));
    }
    (Store::new(accounts), expected)
}

fn samples(
    values: &mut Values<'_>,
    slot: &Slot,
    account: &String,
    expected: &mut BTreeMap<Series, u64>,
) -> Vec<Sample> {
    let metrics = slot.collector().metrics();
    let mut samples = Vec::new();
    while !values.is_empty() && values.below(4) > 0 {
        let metric = metrics[values.below(metrics.len())];
        let own: Vec<String> = metric
            .labels
            .iter()
            .skip(1)
            .map(|_| values.text())
            .collect();
        let value = f64::from_bits(values.number());
        let names = metric.labels.iter().copied();
        let labels = names.zip([account].into_iter().chain(&own));
        let labels: BTreeMap<_, _> = labels
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let series = (metric.name.to_owned(), labels);
        // A collection with a series twice fails, and leaves nothing to show.
        if expected.contains_key(&series) {
            continue;
        }
        expected.insert(series, canonical(value).to_bits());
        samples.push(Sample {
            metric,
            labels: own.into_iter().map(Cow::Owned).collect(),
            value,
        });
    }
    samples
}

fn expect<const N: usize>(
    expected: &mut BTreeMap<Series, u64>,
    name: &str,
    labels: [(&str, &String); N],
    value: f64,
) {
    let labels = labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.clone()));
    expected.insert((name.to_owned(), labels.collect()), value.to_bits());
}

/// The number as it can come back: there is one `NaN`, and no negative zero.
fn canonical(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    }
}
