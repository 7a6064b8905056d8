//! What thousands of accounts cost, measured from outside: the program collects
//! simulated accounts over loopback while this process plays the cloud and scrapes.
//!
//! `cargo bench --bench scale [-- ACCOUNTS]`: about five minutes, whatever the number.

#![allow(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a report for a person"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cwp_exporter::clock::Clock;
use cwp_exporter::simulator::{Answer, Handle, Scenario, Simulator};
use procfs::process::Process;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);
const SCRAPE_EVERY: Duration = Duration::from_secs(15);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The program while it runs. It is killed when dropped.
struct Exporter {
    child: Child,
    url: String,
    listening_after: Duration,
    http: reqwest::Client,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Exporter {
    /// Starts the program for the first `accounts` accounts of the cloud at `api`.
    async fn start(api: &str, accounts: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("cwp.yml");
        let mut config = format!("api: {{endpoint: '{api}'}}\naccounts:\n");
        for number in 0..accounts {
            writeln!(
                config,
                "- {{name: a{number}, credentials: {{type: static, secret_id: AKIDa{number}, secret_key_env: KEY}}}}"
            )?;
        }
        std::fs::write(&path, config)?;
        let address = free_address()?;
        let url = format!("http://{address}");
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()?;
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_cwp-exporter"))
            .arg("--config.file")
            .arg(&path)
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .env("KEY", "key")
            .stdin(Stdio::null())
            .spawn()?;
        let mut exporter = Self {
            child,
            url,
            listening_after: Duration::ZERO,
            http,
        };
        while std::net::TcpStream::connect(address).is_err() {
            if started.elapsed() > INTERVAL {
                return Err("the program does not listen".into());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        exporter.listening_after = started.elapsed();
        Ok(exporter)
    }

    async fn get(&self, path: &str) -> Outcome<(u16, usize)> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok((response.status().as_u16(), response.bytes().await?.len()))
    }

    /// Waits until every account was collected once.
    async fn ready(&self) -> Outcome<()> {
        while self.get("/-/ready").await?.0 != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn resident_bytes(&self) -> Outcome<u64> {
        let pid = i32::try_from(self.child.id())?;
        Ok(Process::new(pid)?.stat()?.rss * procfs::page_size())
    }

    fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = Process::new(i32::try_from(self.child.id())?)?.stat()?;
        Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }

    /// Scrapes for `duration`; returns the longest scrape and the last body's size.
    async fn scrape_for(&self, duration: Duration) -> Outcome<(Duration, usize)> {
        let end = Instant::now() + duration;
        let mut longest = Duration::ZERO;
        let mut size = 0;
        while Instant::now() < end {
            let asked = Instant::now();
            (_, size) = self.get("/metrics").await?;
            longest = longest.max(asked.elapsed());
            tokio::time::sleep_until(end.min(asked + SCRAPE_EVERY)).await;
        }
        Ok((longest, size))
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let numbers = std::env::args().skip(1);
    let accounts: usize = numbers
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(10_000);
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut scenario = "accounts:\n".to_owned();
    for number in 0..accounts {
        writeln!(
            scenario,
            "- {{name: a{number}, secret_id: AKIDa{number}, secret_key: key}}"
        )?;
    }
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::bind(anywhere, Scenario::parse(&scenario)?, Clock::system()).await?;
    let api = format!("http://{}", simulator.local_addr());
    let handle = simulator.handle();
    tokio::spawn(simulator.run_until(std::future::pending()));

    let one = Exporter::start(&api, 1).await?;
    one.ready().await?;
    one.get("/metrics").await?;
    let empty = one.resident_bytes()?;
    report("resident with one account", kib(empty), "KiB");
    drop(one);

    let exporter = Exporter::start(&api, accounts).await?;
    report("accounts", accounts as f64, "");
    report("listening after", millis(exporter.listening_after), "ms");
    exporter.ready().await?;

    let (requests, cpu, opened) = (asked(&handle), exporter.cpu_seconds()?, connections()?);
    tokio::time::sleep(INTERVAL * 2).await;
    let requests = asked(&handle) - requests;
    let cpu = exporter.cpu_seconds()? - cpu;
    let opened = connections()? - opened;
    report("collections per interval", requests as f64 / 2.0, "");
    report("CPU per collection", cpu * 1e6 / requests as f64, "µs");
    let reused = 100.0 * (1.0 - opened as f64 / requests as f64);
    report("connections reused", reused, "%");

    let (longest, size) = exporter.scrape_for(INTERVAL).await?;
    report("longest scrape", millis(longest), "ms");
    report("size of a scrape", size as f64 / 1e6, "MB");
    let resident = exporter.resident_bytes()?;
    let each = kib(resident - empty) / accounts as f64;
    report("resident per account, scraped", each, "KiB");

    for number in 0..accounts / 10 {
        handle.play(&format!("a{}", number * 10), Answer::Hang)?;
    }
    let hung_since = Instant::now();
    exporter.scrape_for(INTERVAL * 2).await?;
    let late = lateness(&handle, hung_since);
    report(
        "latest of the others while a tenth hangs",
        millis(late),
        "ms",
    );
    Ok(())
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

/// How many requests the cloud has received in all.
fn asked(handle: &Handle) -> usize {
    handle.received().len()
}

/// How many connections this machine has opened.
fn connections() -> Outcome<u64> {
    let snmp = std::fs::read_to_string("/proc/net/snmp")?;
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next(), tcp.next());
    let mut columns = names
        .iter()
        .zip(&values)
        .flat_map(|(names, values)| names.split(' ').zip(values.split(' ')));
    let opened = columns.find(|(name, _)| *name == "ActiveOpens");
    Ok(opened
        .ok_or("no ActiveOpens in /proc/net/snmp")?
        .1
        .parse()?)
}

fn free_address() -> Outcome<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn report(what: &str, value: f64, unit: &str) {
    println!("{what:<42} {value:>10.1} {unit}");
}
