//! What the HTTP client costs without an exporter around it.

use std::fs::File;
use std::time::Duration;

use bytes::Bytes;
use cwp_exporter::cloud::tc3::{CanonicalRequest, CredentialScope, authorization, signing_key};
use cwp_exporter::system::clock::Clock;
use procfs::FromRead as _;
use procfs::process::Stat;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap};
use tokio::task::JoinSet;

use crate::program::{Outcome, SECRET_KEY, cpu_seconds};

/// How many requests leave at the same moment, as the exporter's do.
const TOGETHER: usize = 48;

/// Sends `rate` requests a second for `duration`, on one thread; returns the CPU time
/// of each, in seconds. They are signed beforehand, for the accounts of the cloud at
/// `api` in turn, and their answers are read but not parsed.
pub(crate) fn cpu_per_request(
    api: &str,
    accounts: usize,
    rate: f64,
    duration: Duration,
) -> Outcome<f64> {
    let host = api.trim_start_matches("http://");
    let requests = (0..accounts)
        .map(|account| signed(host, account))
        .collect::<Outcome<Vec<_>>>()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()?;
    let url = format!("{api}/");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let before = cpu_seconds(&Stat::from_read(File::open("/proc/thread-self/stat")?)?);
    let answers = runtime.block_on(async {
        let groups = (rate * duration.as_secs_f64()) as usize / TOGETHER;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(TOGETHER as f64 / rate));
        let mut sent = JoinSet::new();
        let mut requests = requests.iter().cycle();
        let mut answers = 0;
        for _ in 0..groups {
            ticks.tick().await;
            for headers in requests.by_ref().take(TOGETHER) {
                let request = client.post(&url).headers(headers.clone());
                let request = request.body(Bytes::from_static(b"{}")).send();
                sent.spawn(async { request.await?.bytes().await });
            }
            while let Some(answer) = sent.try_join_next() {
                answer??;
                answers += 1;
            }
        }
        while let Some(answer) = sent.join_next().await {
            answer??;
            answers += 1;
        }
        Outcome::Ok(answers)
    })?;
    let after = cpu_seconds(&Stat::from_read(File::open("/proc/thread-self/stat")?)?);
    Ok((after - before) / f64::from(answers))
}

/// The headers of a good request of an account.
fn signed(host: &str, account: usize) -> Outcome<HeaderMap> {
    const CONTENT_TYPE: &str = "application/json";
    let now = Clock::system().now();
    let scope = CredentialScope::new("cwp", now);
    let authorization = authorization(
        &format!("AKIDa{account}"),
        &signing_key(SECRET_KEY, &scope),
        &scope,
        &CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[("content-type", CONTENT_TYPE), ("host", host)],
            payload: b"{}",
        },
    );
    let mut headers = HeaderMap::new();
    headers.insert("content-type", CONTENT_TYPE.parse()?);
    headers.insert(HOST, host.parse()?);
    headers.insert("x-tc-action", "DescribeLicenseGeneral".parse()?);
    headers.insert("x-tc-version", "2018-02-28".parse()?);
    headers.insert("x-tc-timestamp", now.as_second().into());
    headers.insert(AUTHORIZATION, authorization.parse()?);
    Ok(headers)
}
