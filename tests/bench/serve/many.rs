//! Ten thousand accounts, collected every minute and scraped every 15 seconds.

use std::io::Read as _;
use std::time::Duration;

use cwp_exporter::system::clock::Clock;
use flate2::read::GzDecoder;
use tokio::time::Instant;

use super::{ACCEPT, Server, bare};
use crate::program::{Cloud, Exporter, Outcome, millis, process_cpu_seconds, report, report_head};

const ACCOUNTS: usize = 10_000;
const INTERVAL: Duration = Duration::from_secs(60);
const SCRAPE_EVERY: Duration = Duration::from_secs(15);

/// How many scrapes of each server are compared. The second longest of so many is close
/// to their 99th percentile, and no single pause of the machine decides it.
const SCRAPES: usize = 40;

/// Asks for what Prometheus asks for over connections that are kept.
async fn scrape(http: &reqwest::Client, url: &str) -> Outcome<(Duration, Vec<u8>)> {
    let asked = Instant::now();
    let request = http.get(url).header("accept", ACCEPT);
    let response = request.header("accept-encoding", "gzip").send().await?;
    let body = response.error_for_status()?.bytes().await?;
    Ok((asked.elapsed(), body.into()))
}

/// How long before `now`, in seconds since the epoch, the newest collection of a scrape
/// ended.
fn age(body: &[u8], now: f64) -> Outcome<f64> {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text)?;
    let name = "cwp_exporter_collector_last_attempt_timestamp_seconds{";
    let lines = text.lines().filter(|line| line.starts_with(name));
    let times = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(now - times.fold(f64::NEG_INFINITY, f64::max))
}

pub(crate) async fn run() -> Outcome<()> {
    let cloud = Cloud::start(ACCOUNTS).await?;
    let exporter = Exporter::start(&cloud.url, ACCOUNTS, INTERVAL)?;
    exporter.ready().await?;
    let ours = Server::of(&exporter);

    let cpu = process_cpu_seconds(ours.pid)?;
    tokio::time::sleep(INTERVAL).await;
    let idle = (process_cpu_seconds(ours.pid)? - cpu) / INTERVAL.as_secs_f64();

    let bare = bare::Recorded::of(&ours.url, ACCEPT, "gzip").await?;
    let bare_server = bare.serve()?;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let http = http.no_gzip().no_deflate().build()?;
    // The connections are opened, and the first rendering is done.
    scrape(&http, &ours.url).await?;
    scrape(&http, &bare_server.url).await?;
    let (clock, mut times, mut bare_times) = (Clock::system(), Vec::new(), Vec::new());
    let mut furthest: f64 = 0.0;
    let (cpu, begun) = (process_cpu_seconds(ours.pid)?, Instant::now());
    for number in 1..=SCRAPES {
        tokio::time::sleep_until(begun + SCRAPE_EVERY * u32::try_from(number)?).await;
        let (took, body) = scrape(&http, &ours.url).await?;
        let (instant, now) = (Instant::now(), clock.now().as_millisecond() as f64 / 1e3);
        let asked = cloud.handle.received();
        let pause = asked
            .last()
            .map_or(Duration::ZERO, |last| instant - last.at);
        // The scrape cannot have what was not asked for yet.
        furthest = furthest.max(age(&body, now)? - pause.as_secs_f64());
        times.push(took);
        // Not right behind the decompression, which leaves the caches cold.
        scrape(&http, &bare_server.url).await?;
        bare_times.push(scrape(&http, &bare_server.url).await?.0);
    }
    let cpu = (process_cpu_seconds(ours.pid)? - cpu) / begun.elapsed().as_secs_f64();
    times.sort();
    bare_times.sort();
    let of =
        |times: &[Duration], place: usize| millis(times.get(place).copied().unwrap_or_default());
    report_head();
    report("bytes of a scrape", bare.len() as f64, "", "");
    let (ours, other) = (of(&times, SCRAPES / 2), of(&bare_times, SCRAPES / 2));
    report("median scrape", ours, "ms", "");
    report("median scrape of the bare server", other, "ms", "");
    let (ours, other) = (of(&times, SCRAPES - 2), of(&bare_times, SCRAPES - 2));
    report("second longest scrape", ours, "ms", "");
    report("second longest scrape of the bare server", other, "ms", "");
    report(
        "second longest against second longest",
        ours / other,
        "",
        "at most 3",
    );
    report(
        "furthest behind the collections",
        furthest,
        "s",
        "at most 1",
    );
    report("CPU while scraped", cpu * 100.0, "%", "at most 25");
    report("CPU while not scraped", idle * 100.0, "%", "");
    Ok(())
}
