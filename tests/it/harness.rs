//! What the stories need: a simulated cloud, an exporter in this process or as a
//! program, and scrapes that can be asked for values.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use cwp_exporter::collection::snapshot;
use cwp_exporter::commands::daemon::{App, AppOptions};
use cwp_exporter::config::{Environment, Source};
use cwp_exporter::metrics::MetricDef;
use cwp_exporter::server::Limits;
use cwp_exporter::simulator::{Handle, Scenario, Simulator};
use cwp_exporter::system::clock::Clock;
use cwp_exporter::{collectors, exposition, metrics};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What to do when a program that a test needs is not there.
pub(crate) const REMEDY: &str = "run the tests with tests/run, which gets it, or put it on PATH";

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long it waits for a program that computes, while others do too.
const MUCH_PATIENCE: Duration = Duration::from_secs(600);

/// Every metric that the exporter may expose.
pub(crate) fn catalogue() -> Vec<&'static MetricDef> {
    let collectors = collectors::all().iter().flat_map(|each| each.metrics());
    let own = [
        exposition::defs::ALL,
        snapshot::defs::ALL,
        metrics::defs::ALL,
        exposition::process::defs::ALL,
    ];
    collectors.copied().chain(own.concat()).collect()
}

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    at_most(PATIENCE, what, future).await
}

/// Waits for a program that computes, but not for ever.
pub(crate) async fn computed<T>(what: &str, future: impl Future<Output = T>) -> T {
    at_most(MUCH_PATIENCE, what, future).await
}

async fn at_most<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}

/// The number of the signal that no process can catch.
pub(crate) const SIGKILL: i32 = 9;

/// How often a test looks at what does not tell that it has changed.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something to be found, but not for ever.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// A simulated cloud. It ends when dropped.
pub(crate) struct Cloud {
    pub(crate) handle: Handle,
    pub(crate) url: String,
    _stop: DropGuard,
}

impl Cloud {
    /// Plays `scenario`, YAML, on a free port.
    pub(crate) async fn start(scenario: &str) -> Self {
        let scenario = Scenario::parse(scenario).unwrap();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::bind(anywhere, scenario, Clock::system())
            .await
            .unwrap();
        let handle = simulator.handle();
        let url = format!("http://{}", simulator.local_addr());
        let stop = CancellationToken::new();
        tokio::spawn(simulator.run_until(stop.clone().cancelled_owned()));
        Self {
            handle,
            url,
            _stop: stop.drop_guard(),
        }
    }

    /// A cloud of accounts `a0`, `a1`, … with the secret ids `AKIDa0`, … and keys `key-a0`, ….
    pub(crate) async fn with_accounts(count: usize) -> Self {
        let accounts: String = (0..count)
            .map(|number| {
                format!(
                    "  - {{name: a{number}, secret_id: AKIDa{number}, secret_key: key-a{number}}}\n"
                )
            })
            .collect();
        Self::start(&format!("accounts:\n{accounts}")).await
    }
}

/// What leaves nothing to collect but `license_general`.
pub(crate) const LICENSES_ALONE: &str = "collectors: {license_list: {enabled: false}}\n";

/// The configuration and environment that fit [`Cloud::with_accounts`]: `license_general` alone,
/// collected every second.
pub(crate) fn config_for(cloud: &Cloud, count: usize) -> (String, Vec<(String, String)>) {
    let accounts: String = (0..count)
        .map(|number| {
            format!(
                "  - {{name: a{number}, credentials: {{type: static, secret_id: AKIDa{number}, secret_key_env: KEY_A{number}}}}}\n"
            )
        })
        .collect();
    let config = format!(
        "{LICENSES_ALONE}poll: {{interval: 1s, timeout: 500ms, max_age: 2s}}\napi: {{endpoint: '{}'}}\naccounts:\n{accounts}",
        cloud.url
    );
    let keys = (0..count).map(|number| (format!("KEY_A{number}"), format!("key-a{number}")));
    (config, keys.collect())
}

/// An exporter in this process. It ends when dropped.
pub(crate) struct Exporter {
    pub(crate) url: String,
    http: reqwest::Client,
    file: tempfile::NamedTempFile,
    ended: tokio::task::JoinHandle<()>,
    stop: DropGuard,
}

impl Exporter {
    /// Serves what `config`, YAML, asks for, on a free port.
    pub(crate) async fn start(config: &str, variables: Vec<(String, String)>) -> Self {
        Self::start_with(config, variables, |_| ()).await
    }

    /// The same, with other options.
    pub(crate) async fn start_with(
        config: &str,
        variables: Vec<(String, String)>,
        change: impl FnOnce(&mut AppOptions),
    ) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let source = Source {
            file: Some(file.path().to_owned()),
            environment: Environment::from_iter(variables),
            ..Source::default()
        };
        let mut options = AppOptions {
            collectors: collectors::all(),
            listen_addresses: vec!["127.0.0.1:0".parse().unwrap()],
            systemd_socket: false,
            limits: Limits {
                connections: NonZeroUsize::new(512).unwrap(),
                scrapes: 40,
            },
            web_config: None,
            calendar_token: None,
            health_without_auth: false,
            telemetry_path: "/metrics".to_owned(),
            enable_lifecycle: true,
            state_dir: None,
            program: env!("CARGO_BIN_EXE_cwp-exporter").into(),
        };
        change(&mut options);
        let app = App::bind(source, &Clock::system(), options).await.unwrap();
        let url = format!("http://{}", app.local_addrs()[0]);
        let stop = CancellationToken::new();
        let running = app.run_until(stop.clone().cancelled_owned());
        Self {
            url,
            http: client(),
            file,
            ended: tokio::spawn(async move { running.await.unwrap() }),
            stop: stop.drop_guard(),
        }
    }

    /// Where its configuration is.
    pub(crate) fn config_file(&self) -> &Path {
        self.file.path()
    }

    /// Asks the exporter to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.ended.await.unwrap();
    }

    /// An exporter of the first `count` accounts of `cloud`.
    pub(crate) async fn of(cloud: &Cloud, count: usize) -> Self {
        let (config, variables) = config_for(cloud, count);
        Self::start(&config, variables).await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.url);
        self.http.get(url).send().await.unwrap()
    }

    /// Replaces the configuration and asks for a reload.
    pub(crate) async fn reload(&self, config: &str) -> reqwest::Response {
        std::fs::write(self.file.path(), config).unwrap();
        let url = format!("{}/-/reload", self.url);
        self.http.post(url).send().await.unwrap()
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        let response = self.get("/metrics").await;
        assert_eq!(response.status(), 200);
        Scrape::parse(&response.text().await.unwrap())
    }

    /// Scrapes until `condition` holds, and returns the scrape in which it did.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        let look = async || Some(self.scrape().await).filter(&condition);
        eventually(what, look).await
    }

    /// Waits until every account's first collection has ended.
    pub(crate) async fn ready(&self) -> Scrape {
        let ready = async || (self.get("/-/ready").await.status() == 200).then_some(());
        eventually("readiness", ready).await;
        self.scrape().await
    }
}

/// A pipe in the place of a file: whoever reads the file hangs.
pub(crate) struct Pipe(PathBuf);

impl Pipe {
    /// Replaces the file at `path`.
    pub(crate) fn in_place_of(path: &Path) -> Self {
        std::fs::remove_file(path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
        Self(path.to_owned())
    }

    /// Waits until somebody reads the file, who hangs for as long as the returned file lives.
    pub(crate) async fn reader(&self) -> std::fs::File {
        let (path, (opened, reader)) = (self.0.clone(), oneshot::channel());
        // On a thread that nobody waits for: without a reader it would never end.
        std::thread::spawn(move || opened.send(std::fs::File::create(path)));
        within("a reader", reader).await.unwrap().unwrap()
    }
}

/// An HTTP client that heeds no proxy.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
}

/// What a scrape said.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// From `name{label="value"}`, as written, to the value.
    pub(crate) samples: BTreeMap<String, f64>,
}

impl Scrape {
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                (series.to_owned(), value.parse().unwrap())
            })
            .collect();
        Self {
            text: text.to_owned(),
            samples,
        }
    }

    /// The value of a series, or nothing if it is absent.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// Whether the last collection of `account` succeeded.
    pub(crate) fn succeeded(&self, account: &str) -> Option<bool> {
        let series = format!(
            "cwp_exporter_collector_success{{account=\"{account}\",collector=\"license_general\"}}"
        );
        self.value(&series).map(|value| value > 0.5)
    }

    /// Why the last collection of `account` failed.
    pub(crate) fn failure_reason(&self, account: &str) -> Option<&str> {
        let start = format!(
            "cwp_exporter_collector_failure_reason{{account=\"{account}\",collector=\"license_general\",reason=\""
        );
        let mut reasons = self
            .samples
            .keys()
            .filter_map(|series| series.strip_prefix(&start)?.strip_suffix("\"}"));
        let reason = reasons.next();
        assert_eq!(reasons.next(), None, "more than one reason");
        reason
    }

    /// All cloud series of `account`, but for those that are always there.
    pub(crate) fn licence_series(&self, account: &str) -> Vec<&str> {
        let account = format!("account=\"{account}\"");
        let series = self.samples.keys().map(String::as_str);
        series
            .filter(|series| series.starts_with("tencentcloud_cwp_") && series.contains(&account))
            .filter(|series| {
                !series.starts_with("tencentcloud_cwp_up{")
                    && !series.starts_with("tencentcloud_cwp_account_info{")
            })
            .collect()
    }
}

/// A running program, and its log. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: watch::Receiver<Vec<String>>,
}

/// The exporter with `arguments`, ready to be run with nothing in its environment but
/// `variables` and a folder for temporary files.
pub(crate) fn program(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let present = Path::new(env!("CARGO_BIN_EXE_cwp-exporter"));
    program_of(present, arguments, variables)
}

/// The same of another version, whose program is the file `binary`.
pub(crate) fn program_of(binary: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_clear()
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs the program to its end.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let running = program(arguments, variables).output();
    within("the program to end", running).await.unwrap()
}

impl Program {
    /// Starts the exporter.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run(program(arguments, variables))
    }

    /// Starts the program of `command`, whichever it is.
    pub(crate) fn run(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let spawned = command.spawn();
        let mut child =
            spawned.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}; {REMEDY}"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log| log.push(line));
            }
        });
        Self { child, log }
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        let log = self
            .log
            .wait_for(|log| log.iter().any(|line| line.contains(text)));
        let found = within(text, log).await.ok();
        let found = found.map(|log| log.iter().find(|line| line.contains(text)).unwrap().clone());
        found.unwrap_or_else(|| panic!("the program has ended:\n{}", self.log().join("\n")))
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// The whole log, once nobody writes to it any more.
    pub(crate) async fn whole_log(&mut self) -> Vec<String> {
        let end = async { while self.log.changed().await.is_ok() {} };
        within("the end of the log", end).await;
        self.log()
    }

    /// The URL that the program serves.
    pub(crate) async fn url(&mut self) -> String {
        let line = self.logged("msg=\"Listening on\"").await;
        let address = line.split("address=").nth(1).unwrap();
        format!("http://{}", address.split(' ').next().unwrap())
    }

    /// Sends the signal `name`, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        // The shell has it built in; the program of this name is not everywhere.
        let kill = format!("kill -s {name} {pid}");
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.await.unwrap().success());
    }

    /// Limits the program and those that it starts from now on, by an option of `prlimit`.
    pub(crate) async fn limit(&self, option: &str) {
        let pid = self.child.id().unwrap();
        let limited = Command::new("prlimit")
            .args([&format!("--pid={pid}"), option])
            .status();
        assert!(limited.await.unwrap().success());
    }

    /// Kills the program and waits for its end; says whether it was still running.
    pub(crate) async fn killed(&mut self) -> bool {
        // Fails where the program has ended already.
        let _ = self.child.start_kill();
        self.ended().await.signal() == Some(SIGKILL)
    }

    /// Waits for the program's end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the program to end", self.child.wait())
            .await
            .unwrap()
    }
}

/// The metrics of an exporter once every account was collected.
pub(crate) async fn page_once_ready(url: &str) -> String {
    let http = client();
    let get = async |path: &str| http.get(format!("{url}{path}")).send().await.unwrap();
    let ready = async || (get("/-/ready").await.status() == 200).then_some(());
    eventually("readiness", ready).await;
    get("/metrics").await.text().await.unwrap()
}

/// The README and the pages of `docs`: the path of each and its text.
pub(crate) fn documents() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = folder.read_dir().unwrap();
    let pages = pages.map(|page| format!("docs/{}", page.unwrap().file_name().display()));
    let mut paths: Vec<String> = pages.filter(|path| path.ends_with(".md")).collect();
    paths.sort();
    paths.insert(0, "README.md".to_owned());
    let read = |path: String| {
        let text = repository_file(&path);
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// A file of this repository, as text.
pub(crate) fn repository_file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where a file of this repository is.
pub(crate) fn repository_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
