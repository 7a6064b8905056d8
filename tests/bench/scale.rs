//! What one account costs, and what thousands do, measured from outside: the program
//! collects simulated accounts over loopback while this process plays the cloud and
//! scrapes.
//!
//! `cargo bench --bench scale [-- ACCOUNTS]`: about twelve minutes, whatever the number.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "a report for a person"
)]

mod program;
mod reqwest_alone;

use std::collections::BTreeMap;
use std::time::Duration;

use cwp_exporter::simulator::{Answer, Handle};
use program::{Cloud, Exporter, Outcome, kib, millis, report};
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);
const SCRAPE_EVERY: Duration = Duration::from_secs(15);

/// How many starts the median is taken of.
const STARTS: usize = 25;

/// How many with all accounts.
const STARTS_OF_MANY: usize = 9;

/// Collections a second at which their cost is measured too.
const RATES: [f64; 2] = [1000.0, 3000.0];

/// For how long it is.
const AT_A_RATE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Outcome<()> {
    let numbers = std::env::args().skip(1);
    let accounts: usize = numbers
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(10_000);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = Cloud::start(accounts).await?;

    program::report_head();
    let empty = idle(&cloud).await?;

    report("accounts", accounts as f64, "", "");
    reqwest_alone(&cloud, accounts, INTERVAL, INTERVAL).await?;
    let listening = median(STARTS_OF_MANY, || {
        Ok(Exporter::start(&cloud.url, accounts, INTERVAL)?.listening_after)
    })?;
    report(
        "listening after, median",
        millis(listening),
        "ms",
        "at most 30",
    );
    let exporter = Exporter::start(&cloud.url, accounts, INTERVAL)?;
    exporter.ready().await?;
    collections(&cloud, &exporter, INTERVAL * 2).await?;

    let (longest, size) = scrape_for(&exporter, INTERVAL).await?;
    report("longest scrape", millis(longest), "ms", "");
    report("size of a scrape", size as f64 / 1e6, "MB", "");
    let resident = exporter.resident_bytes()?;
    let each = kib(resident - empty) / accounts as f64;
    report("resident per account, scraped", each, "KiB", "at most 12");

    for number in 0..accounts / 10 {
        cloud
            .handle
            .play(&format!("a{}", number * 10), Answer::Hang)?;
    }
    let hung_since = Instant::now();
    scrape_for(&exporter, INTERVAL * 2).await?;
    let late = millis(lateness(&cloud.handle, hung_since));
    report(
        "latest of the others while a tenth hangs",
        late,
        "ms",
        "at most 1000",
    );
    drop(exporter);
    for number in 0..accounts / 10 {
        cloud.handle.resume(&format!("a{}", number * 10))?;
    }

    for rate in RATES {
        let interval = Duration::from_secs_f64((accounts as f64 / rate).max(1.0));
        reqwest_alone(&cloud, accounts, interval, AT_A_RATE).await?;
        let exporter = Exporter::start(&cloud.url, accounts, interval)?;
        exporter.ready().await?;
        collections(&cloud, &exporter, AT_A_RATE).await?;
    }
    Ok(())
}

/// Reports what the program costs with one account; returns its resident bytes.
async fn idle(cloud: &Cloud) -> Outcome<u64> {
    let size = std::fs::metadata(program::built()?)?.len();
    report(
        "size of the program",
        kib(size) / 1024.0,
        "MiB",
        "at most 10",
    );
    // Over TLS, as for everybody, so that the system's certificates are needed.
    let answered = median(STARTS, || {
        Ok(Exporter::start("https://127.0.0.1:1", 1, INTERVAL)?.answered_after)
    })?;
    report(
        "first answer after, median",
        millis(answered),
        "ms",
        "at most 5",
    );

    let exporter = Exporter::start(&cloud.url, 1, INTERVAL)?;
    tokio::time::sleep(INTERVAL + Duration::from_secs(5)).await;
    exporter.get("/metrics").await?;
    let resident = exporter.resident_bytes()?;
    let mebibytes = kib(resident) / 1024.0;
    report("resident after a minute", mebibytes, "MiB", "at most 10");
    Ok(resident)
}

/// The median of so many times that `measure` takes.
fn median(count: usize, measure: impl Fn() -> Outcome<Duration>) -> Outcome<Duration> {
    let times = (0..count).map(|_| measure());
    let mut times = times.collect::<Outcome<Vec<_>>>()?;
    times.sort();
    Ok(times.get(count / 2).copied().unwrap_or_default())
}

/// Reports what the HTTP client alone costs at the rate of `accounts` an `interval`.
async fn reqwest_alone(
    cloud: &Cloud,
    accounts: usize,
    interval: Duration,
    duration: Duration,
) -> Outcome<()> {
    let rate = accounts as f64 / interval.as_secs_f64();
    let url = cloud.url.clone();
    let alone = tokio::task::spawn_blocking(move || {
        reqwest_alone::cpu_per_request(&url, accounts, rate, duration)
            .map_err(|error| error.to_string())
    });
    let each = alone.await?? * 1e6;
    report("CPU per request of reqwest alone", each, "µs", "");
    Ok(())
}

/// Reports what a collection costs while nobody scrapes.
async fn collections(cloud: &Cloud, exporter: &Exporter, duration: Duration) -> Outcome<()> {
    let before = cloud.handle.requests();
    let (opened, cpu) = (cloud.handle.connections(), exporter.cpu_seconds()?);
    tokio::time::sleep(duration).await;
    let cpu = exporter.cpu_seconds()? - cpu;
    let opened = cloud.handle.connections() - opened;
    let requests = (cloud.handle.requests() - before) as f64;
    let rate = requests / duration.as_secs_f64();
    report("collections a second", rate, "", "");
    let each = cpu * 1e6 / requests;
    report("CPU per collection", each, "µs", "at most 80");
    let reused = 100.0 * (1.0 - opened as f64 / requests);
    report("connections reused", reused, "%", "at least 99");
    Ok(())
}

/// Scrapes for `duration`; returns the longest scrape and the last body's size.
async fn scrape_for(exporter: &Exporter, duration: Duration) -> Outcome<(Duration, usize)> {
    let end = Instant::now() + duration;
    let mut longest = Duration::ZERO;
    let mut size = 0;
    while Instant::now() < end {
        let asked = Instant::now();
        size = exporter.get("/metrics").await?.1.len();
        longest = longest.max(asked.elapsed());
        tokio::time::sleep_until(end.min(asked + SCRAPE_EVERY)).await;
    }
    Ok((longest, size))
}

/// How much later than an interval after the one before the latest request of an
/// account that answers came.
fn lateness(handle: &Handle, since: Instant) -> Duration {
    let mut last: BTreeMap<String, Instant> = BTreeMap::new();
    let mut latest = Duration::ZERO;
    for request in handle.received() {
        let Some(account) = request.account else {
            continue;
        };
        let hangs = account.ends_with('0');
        if let Some(before) = last.insert(account, request.at)
            && request.at > since
            && !hangs
        {
            latest = latest.max((request.at - before).saturating_sub(INTERVAL));
        }
    }
    latest
}
