//! A Prometheus and an Alertmanager on loopback, with the rules and the routes that this
//! project ships, an hour in a minute: for `demo --stack` and for tests.

mod daemon;
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

/// How many further ports are tried if another program takes the port that was free.
const PORT_RETRIES: usize = 3;

const RULES: &str = include_str!("../../deploy/prometheus/rules.yml");
const ROUTES: &str = include_str!("../../deploy/alertmanager/alertmanager.yml");

/// The durations in the shipped rules and routes, and a sixtieth of each: an hour passes in a
/// minute. A test proves the table complete.
const FASTER: [(&str, &str); 26] = [
    (": 30s\n", ": 500ms\n"),
    (": 1m\n", ": 1s\n"),
    (": 2m\n", ": 2s\n"),
    (": 3m\n", ": 3s\n"),
    (": 5m\n", ": 5s\n"),
    (": 10m\n", ": 10s\n"),
    (": 15m\n", ": 15s\n"),
    (": 30m\n", ": 30s\n"),
    (": 45m\n", ": 45s\n"),
    (": 1h\n", ": 1m\n"),
    (": 4h\n", ": 4m\n"),
    (": 24h\n", ": 24m\n"),
    ("[5m]", "[5s]"),
    ("[15m]", "[15s]"),
    ("[1h]", "[1m]"),
    ("[2h]", "[2m]"),
    ("[7h]", "[7m]"),
    ("[1d]", "[24m]"),
    ("[3d]", "[72m]"),
    ("[7d]", "[168m]"),
    ("offset 4d", "offset 96m"),
    // The seconds of a day, and those that an expression compares with `time()`.
    (" * 86400", " * 1440"),
    (" / 86400", " / 1440"),
    (", 300))\n", ", 5))\n"),
    (", 900)))\n", ", 15)))\n"),
    ("< 120\n", "< 2\n"),
];

/// What keeps messages for the day.
const NIGHT: &str = "mute_time_intervals: [night]";

/// The label `job` in the rules.
const JOB: &str = "cwp";

/// The pages of Prometheus with the alerts, each with a path that answers only in builds that
/// have the page: the usual page, the page of Debian's package of version 2, and the API of
/// every build.
const PROMETHEUS_PAGES: [(&str, &str); 3] = [
    ("/alerts", "/alerts"),
    ("/classic/alerts", "/classic/alerts"),
    ("/api/v1/alerts", "/api/v1/alerts"),
];

/// The pages of Alertmanager, likewise. The page of Debian's package shows nothing.
const ALERTMANAGER_PAGES: [(&str, &str); 2] = [
    ("/#/alerts", "/script.js"),
    ("/api/v2/alerts", "/api/v2/alerts"),
];

/// The timeout of a request for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a program that listens may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two requests whether a program is ready.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// What is wrong with a stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program is not on PATH.
    #[error("there is no {program} on PATH; install it, or leave --stack out")]
    Missing {
        /// Its usual name.
        program: &'static str,
    },
    /// A program cannot be started.
    #[error("cannot start {program}: {source}; check that this user may run it")]
    Start {
        /// Its usual name.
        program: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A program's log does not say that it listens.
    #[error("{program} was started, but does not report that it listens; try another version")]
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
        /// Its last lines.
        log: String,
    },
    /// The stack's files cannot be written.
    #[error("cannot prepare the stack's folder: {0}; check the folder for temporary files")]
    Folder(#[from] io::Error),
    /// A shipped file is not as the stack needs it; tests exclude that.
    #[error("cannot use the shipped {file}: {problem}; please report this")]
    Shipped {
        /// Its name.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// The settings of a stack.
#[derive(Debug)]
pub struct StackSettings {
    /// The address of the exporter.
    pub exporter: SocketAddr,
    /// The path of its metrics.
    pub telemetry_path: String,
    /// The URL that every receiver's notifications are posted to.
    pub webhook: String,
    /// The interval of Prometheus' scrapes and evaluations.
    pub interval: Duration,
}

/// A running Prometheus and a running Alertmanager. They are killed when dropped.
pub struct Stack {
    /// The page of Prometheus that shows the alerts in this build.
    pub prometheus_page: String,
    /// The page of Alertmanager that shows the alerts in this build.
    pub alertmanager_page: String,
    /// The URL of Alertmanager.
    pub alertmanager_url: String,
    prometheus: Daemon,
    alertmanager: Daemon,
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
        std::fs::write(
            file("rules.json"),
            shipped("rules.yml", &faster(RULES))?.to_string(),
        )?;
        std::fs::write(file("alertmanager.json"), routes(settings)?.to_string())?;
        let config = flag("config.file", &file("alertmanager.json"));
        let data = flag("storage.path", &file("alertmanager"));
        let (alertmanager, alertmanager_url) =
            start(&["alertmanager", "prometheus-alertmanager"], |address| {
                vec![
                    config.clone(),
                    data.clone(),
                    // One Alertmanager has no peers.
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

    /// Waits until one of the programs has ended by itself, and returns how.
    pub async fn ended(&mut self) -> StackError {
        tokio::select! {
            error = self.prometheus.ended() => error,
            error = self.alertmanager.ended() => error,
        }
    }

    /// Ends both programs.
    pub async fn stop(self) {
        self.prometheus.stop().await;
        self.alertmanager.stop().await;
    }
}

/// Starts a program on a free port. The program cannot choose the port itself: its
/// notifications contain its URL, which is an argument.
async fn start(
    names: &[&'static str],
    arguments: impl Fn(SocketAddr) -> Vec<String>,
) -> Result<(Daemon, String), StackError> {
    let mut tries = 1..=PORT_RETRIES;
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
async fn page(url: &str, pages: &[(&str, &str)]) -> String {
    // A program that listens answers everything with 503 until it is ready.
    let mut pauses = tokio::time::interval(READY_INTERVAL);
    let ready = async {
        while !opens(&format!("{url}/-/ready")).await {
            pauses.tick().await;
        }
    };
    // If it is never ready, no page opens.
    let _ = tokio::time::timeout(READY_TIMEOUT, ready).await;
    let mut best = url.to_owned();
    for (page, proof) in pages {
        best = format!("{url}{page}");
        if opens(&format!("{url}{proof}")).await {
            break;
        }
    }
    best
}

/// Whether a GET of `url` succeeds.
async fn opens(url: &str) -> bool {
    // reqwest demands a provider, although nothing here uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let Ok(client) = client.timeout(PAGE_TIMEOUT).build() else {
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

/// The shipped routes, an hour in a minute, with the webhook as every receiver, at any time of
/// the day.
fn routes(settings: &StackSettings) -> Result<Value, StackError> {
    let file = "alertmanager.yml";
    let by_day = ROUTES.replace(NIGHT, "mute_time_intervals: []");
    let mut routes = shipped(file, &faster(&by_day))?;
    let receivers = routes.get_mut("receivers").and_then(Value::as_array_mut);
    let receivers = receivers.ok_or_else(|| StackError::Shipped {
        file,
        problem: "it has no receivers".to_owned(),
    })?;
    for receiver in receivers {
        let keys = receiver.as_object().map(serde_json::Map::len);
        if keys == Some(1) {
            // A receiver with only a name notifies nobody.
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

/// A shipped file in which an hour is a minute.
fn faster(text: &str) -> String {
    let replace = |text: String, (shipped, fast): (&str, &str)| text.replace(shipped, fast);
    FASTER.into_iter().fold(text.to_owned(), replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(word: &str) -> Option<u64> {
        let unit = word.find(|char: char| !char.is_ascii_digit())?;
        let unit_length = match &word[unit..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(word[..unit].parse::<u64>().ok()? * unit_length)
    }

    fn words(text: &str) -> Vec<&str> {
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        text.split(|char| !is_part(char)).collect()
    }

    /// Compares texts word by word, and counts the durations.
    fn compare_texts(shipped: &str, fast: &str) -> usize {
        let pairs: Vec<_> = words(shipped).into_iter().zip(words(fast)).collect();
        let signs = |text: &str| text.replace(|char: char| char.is_ascii_alphanumeric(), "");
        assert_eq!(signs(shipped), signs(fast));
        let mut durations = 0;
        let mut seconds = 0;
        for (shipped_word, fast_word) in pairs {
            if let Some(long) = milliseconds(shipped_word) {
                let short = milliseconds(fast_word).map(|short| short * 60);
                assert_eq!(Some(long), short, "{shipped}: {shipped_word} {fast_word}");
                durations += 1;
            } else if shipped_word != fast_word {
                let number = |word: &str| word.parse::<u64>().unwrap();
                assert_eq!(number(shipped_word), number(fast_word) * 60, "{shipped}");
                seconds += 1;
            }
        }
        // An expression that compares `time()` has seconds: those of a day, or one number.
        let days = shipped.matches("86400").count();
        // What says since when has no number, nor what is compared with a metric. The deadlines
        // of orders are real times of the cloud, days ahead.
        let without = [":since_timestamp_seconds", "max_age_seconds", "deadline_"];
        let times = if without.iter().any(|part| shipped.contains(part)) {
            0
        } else {
            shipped.matches("time()").count()
        };
        assert_eq!(seconds, days + times, "{shipped}");
        durations
    }

    /// Compares documents, and counts the durations outside annotations.
    fn compare(shipped: &Value, fast: &Value) -> usize {
        match (shipped, fast) {
            (Value::Object(shipped), Value::Object(fast)) => {
                assert!(shipped.keys().eq(fast.keys()), "{shipped:?} {fast:?}");
                let both = shipped.iter().zip(fast.values());
                let count = |((key, shipped), fast): ((&String, &Value), &Value)| {
                    if key == "annotations" {
                        assert_eq!(shipped, fast);
                        return 0;
                    }
                    compare(shipped, fast)
                };
                both.map(count).sum()
            }
            (Value::Array(shipped), Value::Array(fast)) => {
                assert_eq!(shipped.len(), fast.len());
                let both = shipped.iter().zip(fast);
                both.map(|(shipped, fast)| compare(shipped, fast)).sum()
            }
            (Value::String(shipped), Value::String(fast)) => compare_texts(shipped, fast),
            _ => {
                assert_eq!(shipped, fast);
                0
            }
        }
    }

    #[test]
    fn every_duration_of_the_shipped_files_becomes_a_sixtieth_and_nothing_else_changes() {
        for (text, at_least) in [(RULES, 40), (ROUTES, 5)] {
            let [shipped, fast] =
                [text, &faster(text)].map(|text| shipped("shipped.yml", text).unwrap());
            let durations = compare(&shipped, &fast);
            assert!(durations >= at_least, "{durations}");
        }
    }
}
