//! What it costs to write the accounts' part of a scrape, for each series.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use cwp_exporter::cloud::Fields;
use cwp_exporter::collection::snapshot::{
    AccountState, Attempt, CollectorState, KeySource, Slot, Store, Success,
};
use cwp_exporter::collectors::license_general::{LicenseGeneral, defs};
use cwp_exporter::collectors::{Collector as _, Next, Sample, Schedule};
use cwp_exporter::exposition::{Exposition, Format};
use cwp_exporter::system::clock::Clock;
use jiff::Timestamp;
use prometheus::Registry;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLE: &str = include_str!("../fixtures/api/license_general/documented-example.json");

const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("openmetrics", Format::OpenMetrics)];

/// A key of which nothing is known.
struct NoKey;

impl KeySource for NoKey {
    fn text(&self) -> String {
        String::new()
    }

    fn expires_at(&self) -> Option<Timestamp> {
        None
    }

    fn spent(&self, _: &'static str) -> u32 {
        0
    }
}

/// An exposition of so many accounts, each collected a moment ago, with so many rows of a list
/// beside the usual series.
fn exposition(count: usize, rows: usize) -> Exposition {
    let now = Timestamp::from_millisecond(1_763_913_600_123).unwrap();
    let document: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    let fields = document["Response"].to_string();
    let fields: Fields = serde_json::from_str(&fields).unwrap();
    let clock = Clock::new(move || now);
    let store = Store::new(Vec::new());
    let Next::Done(collected) = LicenseGeneral.reading().read(&fields) else {
        unreachable!("one answer is all");
    };
    let (mut samples, _) = collected.into_samples(0);
    samples.extend((0..rows).map(|row| {
        let label = format!("cwplic-{row:08}");
        Sample::new(defs::EDITION, [label.into()], 1_800_843_063.0)
    }));
    let account = |number| {
        let name = format!("account-{number:05}");
        let schedule = Schedule::default();
        let slot = Slot::new(&LicenseGeneral, &name, schedule, store.revision());
        slot.store(CollectorState {
            last_attempt: Some(Attempt {
                at: clock.moment(),
                duration: Duration::from_micros(45_678),
                failure: None,
            }),
            last_success: Some(Success {
                at: clock.moment(),
                samples: samples.clone().into(),
                rows_hidden: None,
            }),
            ..CollectorState::default()
        });
        Arc::new(AccountState {
            name,
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: Some("ap-guangzhou".to_owned()),
            labels: [("team".to_owned(), "security".to_owned())].into(),
            key_source: Box::new(NoKey),
            slots: vec![slot],
        })
    };
    let accounts = (0..count).map(account).collect();
    store.replace(accounts);
    Exposition::new(Registry::new(), Arc::new(store), clock, None)
}

/// Counts what is written to it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0 += black_box(text).len();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn render(exposition: &Exposition, format: Format) -> usize {
    let mut counter = Counter(0);
    exposition.write_accounts(format, &mut counter).unwrap();
    counter.0
}

fn series(exposition: &Exposition) -> usize {
    let mut text = Vec::new();
    exposition.write_accounts(Format::Text, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, format) in FORMATS {
        for rows in [0, 50] {
            let mut group = criterion.benchmark_group(format!("{name}, {rows} further rows"));
            for accounts in [1, 100, 1_000, 10_000] {
                let exposition = exposition(accounts, rows);
                group.throughput(Throughput::Elements(series(&exposition) as u64));
                group.bench_function(format!("{accounts} accounts"), |bencher| {
                    bencher.iter(|| render(&exposition, format));
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
