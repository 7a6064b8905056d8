//! A Prometheus and an Alertmanager on loopback, with the rules and the routes that this
//! project ships, at a faster pace: what `demo --stack` shows and the tests rely on.

mod daemon;
mod pace;
pub mod receiver;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use daemon::Daemon;

use crate::config::ConfigError;
use crate::config::yaml;

/// How often another port is tried, should somebody have taken the one that was free.
const PORTS: usize = 3;

const RULES: &str = include_str!("../../deploy/prometheus/rules.yml");
const ROUTES: &str = include_str!("../../deploy/alertmanager/alertmanager.yml");

/// The job that the rules are about.
const JOB: &str = "cwp";

/// A page with the alerts, and a path that answers only where the page shows them.
type AlertsPage = (&'static str, &'static str);

/// The pages of Prometheus, the best first: the usual one, the one of Debian's package of
/// version 2, and what every build answers, with or without pages.
const PROMETHEUS_PAGES: [AlertsPage; 3] = [
    ("/alerts", "/alerts"),
    ("/classic/alerts", "/classic/alerts"),
    ("/api/v1/alerts", "/api/v1/alerts"),
];

/// The pages of Alertmanager. Debian's package has a page that shows nothing.
const ALERTMANAGER_PAGES: [AlertsPage; 2] = [
    ("/#/alerts", "/script.js"),
    ("/api/v2/alerts", "/api/v2/alerts"),
];

/// How long a page may take.
const PAGE: Duration = Duration::from_secs(10);

/// How long a program that listens may take until it is ready, and how often it is asked.
const READY: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(100);

/// What is wrong with a stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program is not there.
    #[error("there is no {program} on PATH; install it, or leave --stack out")]
    Missing {
        /// Its usual name.
        program: &'static str,
    },
    /// A program is there, but cannot be started.
    #[error("cannot start {program}: {source}; check that this user may run it")]
    Start {
        /// Its usual name.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A program does not say that it listens.
    #[error("{program} was started, but does not say that it listens; try another version")]
    Silent {
        /// Its usual name.
        program: &'static str,
    },
    /// A program has ended.
    #[error("{program} has ended ({status}); its last lines were:{log}")]
    Ended {
        /// Its usual name.
        program: &'static str,
        /// Its exit status in words.
        status: String,
        /// What it wrote last.
        log: String,
    },
    /// Its files cannot be written.
    #[error("cannot prepare the stack's folder: {0}; check the folder for temporary files")]
    Folder(#[from] io::Error),
    /// A file that is shipped is not what the stack needs; a test sees to it that it is.
    #[error("cannot use the shipped {file}: {problem}; please report this")]
    Shipped {
        /// Its name.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a stack watches, and how.
#[derive(Debug)]
pub struct StackSettings {
    /// Where the exporter serves its metrics.
    pub exporter: SocketAddr,
    /// The path of its metrics.
    pub telemetry_path: String,
    /// Where notifications go to: whoever a route names, they are posted here.
    pub webhook: String,
    /// How often Prometheus scrapes and judges its rules.
    pub interval: Duration,
    /// How much shorter than shipped each duration of the rules and the routes is.
    pub pace: u32,
}

/// A running Prometheus and a running Alertmanager. They are killed when dropped.
pub struct Stack {
    prometheus: Daemon,
    prometheus_page: String,
    alertmanager: Daemon,
    alertmanager_url: String,
    alertmanager_page: String,
    _folder: TempDir,
}

impl Stack {
    /// Starts both, and waits until both are ready.
    ///
    /// # Errors
    ///
    /// When a program is not on PATH or does not come up.
    pub async fn start(settings: &StackSettings) -> Result<Self, StackError> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("rules.json"), rules(settings)?.to_string())?;
        std::fs::write(file("alertmanager.json"), routes(settings)?.to_string())?;
        let config = flag("config.file", &file("alertmanager.json"));
        let data = flag("storage.path", &file("alertmanager"));
        let (alertmanager, alertmanager_url) =
            start(&["alertmanager", "prometheus-alertmanager"], |address| {
                vec![
                    config.clone(),
                    data.clone(),
                    // A single one has no peers.
                    "--cluster.listen-address=".to_owned(),
                    format!("--web.listen-address={address}"),
                    format!("--web.external-url=http://{address}"),
                ]
            })
            .await?;

        let config = prometheus(settings, &alertmanager_url, &file("rules.json"));
        std::fs::write(file("prometheus.json"), config.to_string())?;
        let config = flag("config.file", &file("prometheus.json"));
        let data = flag("storage.tsdb.path", &file("prometheus"));
        let (prometheus, url) = start(&["prometheus"], |address| {
            vec![
                config.clone(),
                data.clone(),
                format!("--web.listen-address={address}"),
                format!("--web.external-url=http://{address}"),
            ]
        })
        .await?;
        Ok(Self {
            prometheus,
            prometheus_page: page(&url, &PROMETHEUS_PAGES).await,
            alertmanager,
            alertmanager_page: page(&alertmanager_url, &ALERTMANAGER_PAGES).await,
            alertmanager_url,
            _folder: folder,
        })
    }

    /// The page of Prometheus that shows the alerts in this build.
    #[must_use]
    pub fn prometheus_page(&self) -> &str {
        &self.prometheus_page
    }

    /// The page of Alertmanager that shows the alerts in this build.
    #[must_use]
    pub fn alertmanager_page(&self) -> &str {
        &self.alertmanager_page
    }

    /// Where Alertmanager is.
    #[must_use]
    pub fn alertmanager_url(&self) -> &str {
        &self.alertmanager_url
    }

    /// Waits until one of them has ended by itself, and says how.
    pub async fn ended(&mut self) -> StackError {
        tokio::select! {
            error = self.prometheus.ended() => error,
            error = self.alertmanager.ended() => error,
        }
    }

    /// Ends both.
    pub async fn stop(self) {
        self.prometheus.stop().await;
        self.alertmanager.stop().await;
    }
}

/// Starts a program on a free port. It is not told to choose one, as it could not then
/// give its own URL in what it sends.
async fn start(
    names: &[&'static str],
    arguments: impl Fn(SocketAddr) -> Vec<String>,
) -> Result<(Daemon, String), StackError> {
    let mut tries = 1..=PORTS;
    loop {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = free.local_addr()?;
        drop(free);
        match Daemon::start(names, &arguments(address)).await {
            Err(StackError::Ended { .. }) if tries.next().is_some() => {}
            outcome => return outcome.map(|daemon| (daemon, format!("http://{address}"))),
        }
    }
}

/// The first of `pages` at `url` that opens, or else the last.
async fn page(url: &str, pages: &[AlertsPage]) -> String {
    // A program that listens answers everything with 503 until it is ready.
    let mut pauses = tokio::time::interval(READY_PAUSE);
    let ready = async {
        while !opens(&format!("{url}/-/ready")).await {
            pauses.tick().await;
        }
    };
    // If it is never ready, no page opens.
    let _ = tokio::time::timeout(READY, ready).await;
    let mut best = url.to_owned();
    for (page, proof) in pages {
        best = format!("{url}{page}");
        if opens(&format!("{url}{proof}")).await {
            break;
        }
    }
    best
}

/// Whether what is at `url` can be had.
async fn opens(url: &str) -> bool {
    // The client of HTTP demands it, although nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let Ok(client) = client.timeout(PAGE).build() else {
        return false;
    };
    let answer = client.get(url).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Prometheus' configuration. JSON is YAML.
fn prometheus(settings: &StackSettings, alertmanager: &str, rules: &Path) -> Value {
    let interval = format!("{}ms", settings.interval.as_millis());
    let alertmanager = alertmanager.trim_start_matches("http://");
    json!({
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{
            "job_name": JOB,
            "metrics_path": settings.telemetry_path,
            "static_configs": [{"targets": [settings.exporter.to_string()]}],
        }],
    })
}

/// The shipped rules at the stack's pace.
fn rules(settings: &StackSettings) -> Result<Value, StackError> {
    let mut rules = shipped("rules.yml", RULES)?;
    pace::quicken(&mut rules, settings.pace);
    Ok(rules)
}

/// The shipped routes at the stack's pace, with the webhook for whoever they notify.
fn routes(settings: &StackSettings) -> Result<Value, StackError> {
    let file = "alertmanager.yml";
    let mut routes = shipped(file, ROUTES)?;
    pace::quicken(&mut routes, settings.pace);
    let receivers = routes.get_mut("receivers").and_then(Value::as_array_mut);
    let receivers = receivers.ok_or_else(|| StackError::Shipped {
        file,
        problem: "it has no receivers".to_owned(),
    })?;
    for receiver in receivers {
        if receiver
            .as_object()
            .is_some_and(|receiver| receiver.len() == 1)
        {
            // It has a name alone: nobody is notified.
            continue;
        }
        *receiver = json!({
            "name": receiver.get("name"),
            "webhook_configs": [{"url": settings.webhook}],
        });
    }
    Ok(routes)
}

fn shipped(file: &'static str, text: &str) -> Result<Value, StackError> {
    let tree = yaml::read(text, &Arc::from(Path::new(file)));
    let tree = tree.map_err(|problems| {
        let problem = ConfigError::new(None, problems).to_string();
        StackError::Shipped { file, problem }
    })?;
    Ok(tree.value.to_json())
}
