//! What it costs to write the accounts' part of a scrape, for each series.
//!
//! `cargo bench --bench render` measures the time, with `-- --instructions` instead the
//! instructions, which no other load on the machine disturbs; that needs valgrind.

#![allow(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report for a person"
)]

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use cwp_exporter::cloud::Fields;
use cwp_exporter::collection::snapshot::{
    AccountState, Attempt, CollectorState, KeySource, Slot, Store, Success,
};
use cwp_exporter::collectors::Collector as _;
use cwp_exporter::collectors::license_general::LicenseGeneral;
use cwp_exporter::exposition::{Exposition, Format, Page};
use cwp_exporter::system::clock::Clock;
use jiff::Timestamp;
use prometheus::Registry;

const EXAMPLE: &str = include_str!("../fixtures/api/license_general/documented-example.json");

const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("openmetrics", Format::OpenMetrics)];

/// An exposition of so many accounts, each collected a moment ago.
fn exposition(count: usize) -> Exposition {
    let now = Timestamp::from_millisecond(1_763_913_600_123).unwrap();
    let document: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    let fields = document["Response"].to_string();
    let fields: Fields = serde_json::from_str(&fields).unwrap();
    let clock = Clock::new(move || now);
    let store = Store::new(Vec::new(), Duration::from_secs(600));
    let account = |number| {
        let slot = Slot::new(&LicenseGeneral, store.revision());
        slot.store(CollectorState {
            last_attempt: Some(Attempt {
                at: clock.moment(),
                duration: Duration::from_micros(45_678),
                failure: None,
            }),
            last_success: Some(Success {
                at: clock.moment(),
                samples: LicenseGeneral.parse(&fields).samples,
            }),
            ..CollectorState::default()
        });
        Arc::new(AccountState {
            name: format!("account-{number:05}"),
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: Some("ap-guangzhou".to_owned()),
            labels: [("team".to_owned(), "security".to_owned())].into(),
            key_source: KeySource::new(String::new),
            slots: vec![Arc::new(slot)],
        })
    };
    let accounts = (0..count).map(account).collect();
    store.replace(accounts, Duration::from_secs(600));
    Exposition::new(Registry::new(), Arc::new(store), clock, None)
}

/// Writes all pages into one buffer after the other; returns how many series there are.
fn render(exposition: &Exposition, format: Format, page: &mut Page) -> usize {
    let (mut pages, _) = exposition.accounts(format);
    let mut bytes = 0;
    loop {
        page.clear();
        pages.next_page(page);
        if page.is_empty() {
            return bytes;
        }
        bytes += black_box(page.text()).len();
    }
}

fn series(exposition: &Exposition) -> usize {
    let (pages, _) = exposition.accounts(Format::Text);
    let text: Vec<u8> = pages.flatten().collect();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// How many instructions a process of this program takes to render so often.
fn instructions(format: &str, accounts: usize, times: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--times", format, &accounts.to_string(), &times.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("cannot run valgrind: {error}; install it"));
    let report = String::from_utf8_lossy(&output.stderr);
    let total = report.lines().find_map(|line| line.split_once("refs:"));
    let (_, total) = total.unwrap_or_else(|| panic!("valgrind said: {report}"));
    total.trim().replace(',', "").parse().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--times", format, accounts, times] => {
            let (_, format) = FORMATS.iter().find(|(name, _)| name == format).unwrap();
            let exposition = exposition(accounts.parse().unwrap());
            let mut page = Page::default();
            for _ in 0..times.parse().unwrap() {
                render(&exposition, *format, &mut page);
            }
        }
        all if all.contains(&"--instructions") => {
            println!("| Format | Accounts | Instructions a series |");
            println!("|---|---|---|");
            for accounts in [1, 100, 1_000] {
                let (series, times) = (series(&exposition(accounts)), 10_000 / accounts);
                for (name, _) in FORMATS {
                    let once = instructions(name, accounts, 1);
                    let often = instructions(name, accounts, times + 1);
                    let each = (often - once) as f64 / (times * series) as f64;
                    println!("| {name} | {accounts} | {each:.0} |");
                }
            }
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            for (name, format) in FORMATS {
                let mut group = criterion.benchmark_group(name);
                for accounts in [1, 100, 1_000, 10_000] {
                    let exposition = exposition(accounts);
                    let mut page = Page::default();
                    group.throughput(Throughput::Elements(series(&exposition) as u64));
                    group.bench_function(format!("{accounts} accounts"), |bencher| {
                        bencher.iter(|| render(&exposition, format, &mut page));
                    });
                }
                group.finish();
            }
            criterion.final_summary();
        }
    }
}
