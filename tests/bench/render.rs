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
use cwp_exporter::collectors::license_general::LicenseGeneral;
use cwp_exporter::collectors::license_list::LicenseList;
use cwp_exporter::collectors::{Collector, Next, Sample, Schedule};
use cwp_exporter::exposition::{Exposition, Format};
use cwp_exporter::system::clock::Clock;
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::{Value, json};

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

    fn quota(&self) -> Option<String> {
        None
    }

    fn spent(&self, _: &'static str) -> u32 {
        0
    }
}

/// What `collector` makes of an answer.
fn samples(collector: &dyn Collector, answer: &Value) -> Vec<Sample> {
    let fields: Fields = serde_json::from_str(&answer.to_string()).unwrap();
    let Next::Done(collected) = collector.reading().read(&fields) else {
        unreachable!("one answer is all");
    };
    collected.into_samples(usize::MAX).0
}

/// An answer with so many orders.
fn orders(count: usize) -> Value {
    let list = (0..count).map(|number| {
        json!({
            "LicenseId": number, "LicenseType": 1, "LicenseStatus": 1, "LicenseCnt": 20,
            "UsedLicenseCnt": 7, "OrderStatus": 1, "Deadline": "2027-01-25 10:11:03",
            "BuyTime": "2026-01-25 10:11:03", "ResourceId": format!("cwplic-{number:08x}"),
            "AutoRenewFlag": 1, "ProjectId": 0, "TaskId": 0, "SourceType": 0,
            "Alias": format!("web-{number}"), "Tags": [], "FreezeNum": 0,
        })
    });
    json!({"TotalCount": count, "List": list.collect::<Value>()})
}

/// An exposition of so many accounts, each collected a moment ago, each with so many orders.
fn exposition(count: usize, order_count: usize) -> Exposition {
    let now = Timestamp::from_millisecond(1_763_913_600_123).unwrap();
    let document: Value = serde_json::from_str(EXAMPLE).unwrap();
    let clock = Clock::new(move || now);
    let store = Store::new(Vec::new());
    let licences = samples(&LicenseGeneral, &document["Response"]);
    let orders = samples(&LicenseList, &orders(order_count));
    let slot = |collector, name: &str, samples: &[Sample]| {
        let slot = Slot::new(collector, name, Schedule::default(), store.revision());
        slot.store(CollectorState {
            last_attempt: Some(Attempt {
                at: clock.moment(),
                duration: Duration::from_micros(45_678),
                failure: None,
            }),
            last_success: Some(Success {
                at: clock.moment(),
                samples: samples.into(),
                rows_hidden: None,
                requests: 1,
            }),
            ..CollectorState::default()
        });
        slot
    };
    let account = |number| {
        let name = format!("account-{number:05}");
        let mut slots = vec![slot(&LicenseGeneral, &name, &licences)];
        if order_count > 0 {
            slots.push(slot(&LicenseList, &name, &orders));
        }
        Arc::new(AccountState {
            name,
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: Some("ap-guangzhou".to_owned()),
            labels: [("team".to_owned(), "security".to_owned())].into(),
            key_source: Box::new(NoKey),
            slots,
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
        for orders in [0, 20] {
            let mut group = criterion.benchmark_group(format!("{name}, {orders} orders each"));
            for accounts in [1, 100, 1_000, 10_000] {
                let exposition = exposition(accounts, orders);
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
