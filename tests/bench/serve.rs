//! How fast scrapes are served, against a bare hyper server that answers the very same
//! bytes and against `node_exporter`, each in turn with the exporter.
//!
//! `cargo bench --bench serve` takes about four minutes and needs wrk; `node_exporter`
//! is left out where there is none. `-- --many` measures 10,000 accounts instead, scraped
//! while they are collected, in about twelve minutes.

#![allow(
    clippy::cast_precision_loss,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a report for a person"
)]

#[path = "serve/bare.rs"]
mod bare;
#[path = "serve/many.rs"]
mod many;
mod program;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use program::{Cloud, Exporter, Outcome, free_address, process_cpu_seconds};

/// What Prometheus 3 sends.
pub(crate) const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// How often each of two servers is measured, and for how long at a time.
const ROUNDS: usize = 3;
const TURN: Duration = Duration::from_secs(2);

/// A server that is measured, by its process.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) pid: u32,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    pub(crate) fn of(exporter: &Exporter) -> Self {
        Self {
            url: format!("{}/metrics", exporter.url()),
            pid: exporter.pid(),
            child: None,
        }
    }

    /// Starts `command`, which serves at `address`, and waits until it answers.
    pub(crate) fn start(command: &mut Command, address: &str) -> Outcome<Self> {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self {
            url: format!("http://{address}/metrics"),
            pid: child.id(),
            child: Some(child),
        };
        for _ in 0..10_000 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("nothing listens at {address}").into())
    }

    /// Requests per second, and CPU time per request in seconds.
    fn load(&self, coding: &str, connections: usize) -> Outcome<(f64, f64)> {
        let cpu = process_cpu_seconds(self.pid)?;
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{connections}")])
            .arg(format!("-d{}s", TURN.as_secs()))
            .args(["-H", &format!("Accept: {ACCEPT}")])
            .args(["-H", &format!("Accept-Encoding: {coding}")])
            .arg(&self.url)
            .output()
            .map_err(|error| format!("cannot run wrk: {error}; install it"))?;
        let cpu = process_cpu_seconds(self.pid)? - cpu;
        let report = String::from_utf8(output.stdout)?;
        if report.contains("Non-2xx") || report.contains("Socket errors") {
            return Err(report.into());
        }
        let number = |before: &str, after: &str| -> Option<f64> {
            let (rest, _) = report.split_once(after)?;
            let (_, number) = rest.rsplit_once(before)?;
            number.trim().parse().ok()
        };
        let requests = number("\n", " requests in").ok_or("wrk counts no requests")?;
        let (_, rate) = report
            .split_once("Requests/sec:")
            .ok_or("wrk tells no rate")?;
        let rate = rate.split_whitespace().next().ok_or("wrk tells no rate")?;
        Ok((rate.parse()?, cpu / requests))
    }
}

/// What `server` does for each that `other` does, by requests per second and by CPU time
/// per request: the medians of some turns of both.
fn compare(server: &Server, other: &Server, coding: &str, connections: usize) -> Outcome<[f64; 4]> {
    let mut turns = Vec::new();
    for _ in 0..ROUNDS {
        let (rate, cpu) = server.load(coding, connections)?;
        let (other_rate, other_cpu) = other.load(coding, connections)?;
        turns.push([rate, rate / other_rate, cpu * 1e6, other_cpu / cpu]);
    }
    let median = |of: fn(&[f64; 4]) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
    };
    Ok([
        median(|turn| turn[0]),
        median(|turn| turn[1]),
        median(|turn| turn[2]),
        median(|turn| turn[3]),
    ])
}

/// `node_exporter` serving `body` from a file, if there is one on this machine.
fn node_exporter(folder: &std::path::Path, body: &[u8]) -> Outcome<Option<Server>> {
    // Its own metrics of the process would clash with these.
    let text = String::from_utf8(body.to_vec())?;
    let lines = text.lines().filter(|line| !line.contains("process_"));
    let lines: Vec<&str> = lines.filter(|line| *line != "# EOF").collect();
    std::fs::write(folder.join("cwp.prom"), lines.join("\n") + "\n")?;
    let address = free_address()?.to_string();
    let names = ["prometheus-node-exporter", "node_exporter"];
    let started = names.into_iter().find_map(|name| {
        let mut command = Command::new(name);
        command.args(["--collector.disable-defaults", "--collector.textfile"]);
        command.arg(format!(
            "--collector.textfile.directory={}",
            folder.display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        Server::start(&mut command, &address).ok()
    });
    Ok(started)
}

async fn ratios() -> Outcome<()> {
    let mut times_of_node_exporter = Vec::new();
    println!(
        "| Accounts | Coding | Bytes | Connections | Requests/s | Of bare | CPU µs | Of bare |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for accounts in [1, 100, 1_000] {
        let cloud = Cloud::start(accounts).await?;
        let exporter = Exporter::start(&cloud.url, accounts, Duration::from_secs(20))?;
        exporter.ready().await?;
        let ours = Server::of(&exporter);
        for coding in ["identity", "gzip"] {
            let answer = bare::Recorded::of(&ours.url, ACCEPT, coding).await?;
            let bare = answer.serve()?;
            for connections in [8, 64] {
                let [rate, of_bare, cpu, cpu_of_bare] = compare(&ours, &bare, coding, connections)?;
                println!(
                    "| {accounts} | {coding} | {} | {connections} | {rate:.0} | {of_bare:.2} | {cpu:.1} | {cpu_of_bare:.2} |",
                    answer.len()
                );
            }
        }
        let folder = tempfile::tempdir()?;
        let text = bare::Recorded::of(&ours.url, "text/plain", "identity").await?;
        match node_exporter(folder.path(), text.body())? {
            Some(other) if accounts < 1_000 => {
                let [_, times, ..] = compare(&ours, &other, "identity", 8)?;
                times_of_node_exporter.push((accounts, text.len(), times));
            }
            Some(_) => {}
            None => eprintln!("no node_exporter to compare with"),
        }
    }
    println!("\n| Against node_exporter | Bytes | Times its requests/s |");
    println!("|---|---|---|");
    for (accounts, bytes, times) in times_of_node_exporter {
        println!("| {accounts} | {bytes} | {times:.0} |");
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The exporter serves on one thread, and so does what it is compared with.
    let mut one_thread = tokio::runtime::Builder::new_current_thread();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let run = |runtime: &mut tokio::runtime::Builder| runtime.enable_all().build();
    match arguments.as_slice() {
        ["--bare", answer, address] => run(&mut one_thread)?.block_on(bare::run(answer, address)),
        all if all.contains(&"--many") => run(&mut threads)?.block_on(many::run()),
        _ => run(&mut threads)?.block_on(ratios()),
    }
}
