//! VictoriaMetrics, of Debian's package: it scrapes what the documentation's configurations name,
//! and its vmalert makes of the rules what Prometheus makes of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use procfs::process::{FDTarget, Process};
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};
use tokio::process::{Child, Command};

use super::shared::{Platform, prometheus};
use super::{cloud, rules};
use crate::harness::{LOOK, PATIENCE, client, eventually};
use crate::prometheus::series;
use crate::rules::recorded;

/// A program of VictoriaMetrics on a free port. It is killed when dropped.
struct Server {
    url: String,
    _child: Child,
    folder: TempDir,
}

/// The port at which a process listens, once it does: these programs do not say which port they
/// were given.
fn port(pid: u32) -> Option<u16> {
    let process = Process::new(i32::try_from(pid).unwrap()).ok()?;
    let sockets = process
        .fd()
        .ok()?
        .flatten()
        .filter_map(|fd| match fd.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        });
    let sockets: Vec<u64> = sockets.collect();
    let listening = procfs::net::tcp().ok()?.into_iter().find(|entry| {
        entry.state == procfs::net::TcpState::Listen && sockets.contains(&entry.inode)
    });
    Some(listening?.local_address.port())
}

impl Server {
    async fn start(program: &str, arguments: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("-httpListenAddr=127.0.0.1:0")
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let pid = child.id().unwrap();
        let port = eventually("VictoriaMetrics to listen", async || port(pid)).await;
        Self {
            url: format!("http://127.0.0.1:{port}"),
            _child: child,
            folder,
        }
    }

    /// What it has said.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// The arguments of a VictoriaMetrics that scrapes what `config` says.
fn scraping(config: &Path) -> Vec<String> {
    vec![
        format!("-promscrape.config={}", config.display()),
        "-promscrape.config.strictParse=true".to_owned(),
        "-storageDataPath=data".to_owned(),
        // What was scraped is there at once.
        "-search.latencyOffset=0s".to_owned(),
    ]
}

/// The arguments of a vmalert that evaluates `rules` on what the server at `url` has.
fn evaluating(rules: &Path, url: &str) -> Vec<String> {
    vec![
        format!("-rule={}", rules.display()),
        format!("-datasource.url={url}"),
        format!("-remoteWrite.url={url}"),
        "-remoteWrite.flushInterval=1s".to_owned(),
        "-evaluationInterval=1s".to_owned(),
        // It demands one; nothing fires long enough to be sent.
        "-notifier.url=http://127.0.0.1:1".to_owned(),
    ]
}

/// The rules as a vmalert reads that is older than 1.92.
fn rules_for_vmalert() -> NamedTempFile {
    let rules = std::fs::read_to_string(rules().path()).unwrap();
    let lines = rules.lines().map(|line| format!("{line}\n"));
    let lines = lines.filter(|line| !line.contains("keep_firing_for"));
    let file = NamedTempFile::with_suffix(".yml").unwrap();
    std::fs::write(file.path(), lines.collect::<String>()).unwrap();
    file
}

/// What a server answers to a query: the values by the labels, without those that grow with
/// time. VictoriaMetrics keeps twelve digits.
async fn answer(url: &str, query: &str) -> BTreeMap<BTreeMap<String, String>, String> {
    let series = series(&client(), url, query).await.into_iter();
    let grows = query.contains("_seconds");
    let written = |value: f64| match grows {
        true => String::new(),
        false => format!("{value:.6}"),
    };
    let series = series.map(|(labels, value)| (labels, written(value)));
    series.collect()
}

/// Whether there is a VictoriaMetrics; it may be missing, but not in CI. `tests/run` says what
/// is then not checked.
fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("vmalert").is_file());
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(
        found || !in_ci,
        "there is no vmalert on PATH; tests/run gets one"
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs VictoriaMetrics"]
async fn victoria_metrics_and_vmalert_make_of_all_this_what_prometheus_makes_of_it() {
    if !is_there() {
        return;
    }
    let cloud = cloud().await;
    let platform = Platform::start(&cloud).await;
    let jobs = platform.jobs();
    let prometheus = prometheus("prometheus", &jobs).await;

    let config = NamedTempFile::new().unwrap();
    let scraped = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs});
    std::fs::write(config.path(), scraped.to_string()).unwrap();
    let victoria = Server::start("victoria-metrics", &scraping(config.path())).await;
    let rules = rules_for_vmalert();
    let vmalert = Server::start("vmalert", &evaluating(rules.path(), &victoria.url)).await;

    let names = recorded().into_iter();
    // vmalert adds the name of the group to an alert.
    let alerts = "group without (alertstate, alertgroup) (ALERTS)".to_owned();
    for query in names.chain([alerts]) {
        let expected = answer(&prometheus.url, &query).await;
        let mut found = BTreeMap::new();
        let same = tokio::time::timeout(4 * PATIENCE, async {
            while found != expected {
                found = answer(&victoria.url, &query).await;
                tokio::time::sleep(LOOK).await;
            }
        });
        if same.await.is_err() {
            assert_eq!(found, expected, "{query}: {}", vmalert.log());
        }
    }
    let metrics = client()
        .get(format!("{}/metrics", vmalert.url))
        .send()
        .await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let errors = metrics
        .lines()
        .filter(|line| line.contains("_rules_error{"));
    let errors: Vec<&str> = errors.collect();
    assert!(errors.len() > 30, "{metrics}");
    assert!(
        errors.iter().all(|line| line.ends_with(" 0")),
        "{errors:#?}"
    );
}
