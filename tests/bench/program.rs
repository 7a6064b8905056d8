//! The program from outside, for the benchmarks: it runs, is asked and is measured
//! while this process plays the cloud.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use cwp_exporter::simulator::{Handle, Scenario, Simulator};
use cwp_exporter::system::clock::Clock;
use procfs::process::{Process, Stat};
use tokio::time::Instant;

/// What a benchmark makes, or why it cannot go on.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the program is built as it is shipped. What Cargo builds beside a benchmark has
/// the features that tests ask of libraries, which cost time and space.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/program");

/// The program, built if need be.
pub(crate) fn built() -> Outcome<&'static Path> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PATH.get() {
        return Ok(path);
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--profile=dist", "--locked", "--bin=cwp-exporter"])
        .args(["--target-dir", TARGET])
        .status()?;
    if !status.success() {
        return Err("cannot build the program".into());
    }
    Ok(PATH.get_or_init(|| Path::new(TARGET).join("dist/cwp-exporter")))
}

/// The secret key of all simulated accounts.
pub(crate) const SECRET_KEY: &str = "key";

/// A simulated cloud of accounts `a0`, `a1`, …, whose secret ids are `AKIDa0`, ….
pub(crate) struct Cloud {
    pub(crate) handle: Handle,
    pub(crate) url: String,
}

impl Cloud {
    /// Plays a cloud of so many accounts until this process ends.
    pub(crate) async fn start(accounts: usize) -> Outcome<Self> {
        let scenario = format!(
            "accounts: [{{count: {accounts}, name: 'a{{n}}', secret_id: 'AKIDa{{n}}', secret_key: {SECRET_KEY}}}]"
        );
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let scenario = Scenario::parse(&scenario)?;
        let simulator = Simulator::bind(anywhere, scenario, Clock::system()).await?;
        let cloud = Self {
            handle: simulator.handle(),
            url: format!("http://{}", simulator.local_addr()),
        };
        tokio::spawn(simulator.run_until(std::future::pending()));
        Ok(cloud)
    }
}

/// The program while it runs. It is killed when dropped.
pub(crate) struct Exporter {
    child: Child,
    url: String,
    http: reqwest::Client,
    /// How long after its start it accepted a connection.
    pub(crate) listening_after: Duration,
    /// How long after its start it had answered a request.
    pub(crate) answered_after: Duration,
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
    pub(crate) fn start(api: &str, accounts: usize, interval: Duration) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("cwp.yml");
        let timeout = interval.min(Duration::from_secs(10)).as_millis();
        let interval = interval.as_millis();
        let mut config = format!(
            "poll: {{interval: {interval}ms, timeout: {timeout}ms}}\napi: {{endpoint: '{api}'}}\naccounts:\n"
        );
        for number in 0..accounts {
            writeln!(
                config,
                "- {{name: a{number}, credentials: {{type: static, secret_id: AKIDa{number}, secret_key_env: KEY}}}}"
            )?;
        }
        std::fs::write(&path, config)?;
        let (address, program) = (free_address()?, built()?);
        let started = Instant::now();
        let child = Command::new(program)
            .arg("--config.file")
            .arg(&path)
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .env("KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .spawn()?;
        let mut exporter = Self {
            child,
            url: format!("http://{address}"),
            http: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()?,
            listening_after: Duration::ZERO,
            answered_after: Duration::ZERO,
        };
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) if started.elapsed() > Duration::from_secs(60) => {
                    return Err(error.into());
                }
                // A sleep would end late and be counted in.
                Err(_) => std::thread::yield_now(),
            }
        };
        exporter.listening_after = started.elapsed();
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: bench\r\n\r\n")?;
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning)?;
        exporter.answered_after = started.elapsed();
        if beginning != *b"HTTP/1.1 200" {
            return Err(String::from_utf8_lossy(&beginning).into());
        }
        Ok(exporter)
    }

    /// The status and body of the answer at `path`.
    pub(crate) async fn get(&self, path: &str) -> Outcome<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Waits until every account was collected once.
    pub(crate) async fn ready(&self) -> Outcome<()> {
        while self.get("/-/ready").await?.0 != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        Ok(self.stat()?.rss * procfs::page_size())
    }

    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        Ok(cpu_seconds(&self.stat()?))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn stat(&self) -> Outcome<Stat> {
        Ok(Process::new(i32::try_from(self.child.id())?)?.stat()?)
    }
}

/// The CPU time of another process, in seconds.
pub(crate) fn process_cpu_seconds(pid: u32) -> Outcome<f64> {
    Ok(cpu_seconds(&Process::new(i32::try_from(pid)?)?.stat()?))
}

/// The CPU time of a process or thread, in seconds.
pub(crate) fn cpu_seconds(stat: &Stat) -> f64 {
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

pub(crate) fn free_address() -> Outcome<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

pub(crate) fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Begins a table of figures, as the README shows them.
pub(crate) fn report_head() {
    println!("| Figure | Measured | Goal |");
    println!("|---|---|---|");
}

/// Prints a figure beside its goal, such as `at most 80`, if it has one.
pub(crate) fn report(what: &str, value: f64, unit: &str, goal: &str) {
    let separator = if unit.is_empty() { "" } else { " " };
    let decimals = if value < 10.0 { 2 } else { 1 };
    println!("| {what} | {value:.decimals$}{separator}{unit} | {goal} |");
}
