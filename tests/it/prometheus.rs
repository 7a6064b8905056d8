//! End to end: the simulated cloud, the exporter as a program, and a real Prometheus whose
//! HTTP API says what it has seen.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use cwp_exporter::simulator::{Answer, AnswerFields};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::{
    Cloud, LICENSES_ALONE, LOOK, Program, REMEDY, client, computed, eventually, page_once_ready,
};

/// A Prometheus with data of its own. It is killed when dropped.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    http: reqwest::Client,
    program: Program,
    _folder: TempDir,
}

/// The labels of a series and its value.
pub(crate) type Sample = (BTreeMap<String, String>, f64);

/// The `data` of an answer of the HTTP API of the server at `url`; nothing while it is not
/// ready.
async fn data(
    http: &reqwest::Client,
    url: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Option<Value> {
    let url = format!("{url}{path}");
    let url = url::Url::parse_with_params(&url, parameters).unwrap();
    let response = http.get(url).send().await.unwrap();
    if response.status() == 503 {
        return None;
    }
    let text = response.text().await.unwrap();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["status"], "success", "{parameters:?}: {text}");
    Some(answer["data"].take())
}

/// What an instant query gives now at the server at `url`, with all labels.
pub(crate) async fn series(http: &reqwest::Client, url: &str, query: &str) -> Vec<Sample> {
    let Some(data) = data(http, url, "/api/v1/query", &[("query", query)]).await else {
        return Vec::new();
    };
    let samples = data["result"].as_array().unwrap();
    samples
        .iter()
        .map(|sample| {
            let labels = sample["metric"].as_object().unwrap().iter();
            let labels =
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
            let value = sample["value"][1].as_str().unwrap().parse().unwrap();
            (labels.collect(), value)
        })
        .collect()
}

impl Prometheus {
    /// Starts Prometheus on a free port. It scrapes `target`, a URL, twice a second.
    pub(crate) async fn scraping(target: &str) -> Self {
        Self::scraping_with(target, None).await
    }

    /// The same, with a file of rules that it evaluates as often.
    pub(crate) async fn scraping_with(target: &str, rules: Option<&Path>) -> Self {
        let target = target.strip_prefix("http://").unwrap();
        let job = json!({"job_name": "cwp", "static_configs": [{"targets": [target]}]});
        Self::with_job("prometheus", job, rules).await
    }

    /// The `program`, on a free port, with one job that scrapes twice a second.
    pub(crate) async fn with_job(program: &str, job: Value, rules: Option<&Path>) -> Self {
        let settings = json!({
            "global": {
                "scrape_interval": "500ms",
                "scrape_timeout": "500ms",
                "evaluation_interval": "500ms",
            },
            "rule_files": rules.into_iter().collect::<Vec<&Path>>(),
            "scrape_configs": [job],
        });
        Self::start(program, &settings).await
    }

    /// Starts this Prometheus on a free port with these settings.
    pub(crate) async fn start(program: &str, settings: &Value) -> Self {
        // JSON is YAML.
        Self::configured(program, &settings.to_string()).await
    }

    /// The `program`, on a free port, with this configuration.
    pub(crate) async fn configured(program: &str, settings: &str) -> Self {
        Self::in_folder(program, settings, tempfile::tempdir().unwrap()).await
    }

    /// Starts Prometheus on a free port with these samples, and with no target. `samples` are
    /// lines of OpenMetrics with times.
    pub(crate) async fn holding(samples: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("samples");
        std::fs::write(&file, format!("{samples}# EOF\n")).unwrap();
        let [file, data] = [file, folder.path().join("data")].map(|it| it.display().to_string());
        let arguments = ["tsdb", "create-blocks-from", "openmetrics", &file, &data];
        let (good, said) = promtool(&arguments, "").await;
        assert!(good, "{said}");
        Self::in_folder("prometheus", "{}", folder).await
    }

    async fn in_folder(program: &str, settings: &str, folder: TempDir) -> Self {
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, settings).unwrap();
        let data = folder.path().join("data");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.listen-address=127.0.0.1:0");
        let mut program = Program::run(command);
        Self {
            url: program.url().await,
            http: client(),
            program,
            _folder: folder,
        }
    }

    /// The `data` of an answer of the HTTP API; nothing while Prometheus is not ready.
    pub(crate) async fn data(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        data(&self.http, &self.url, path, parameters).await
    }

    /// What an instant query gives now, with all labels.
    pub(crate) async fn series(&self, query: &str) -> Vec<Sample> {
        series(&self.http, &self.url, query).await
    }

    /// What an instant query gives now, without the names of metrics, instances and jobs.
    pub(crate) async fn query(&self, query: &str) -> Vec<Sample> {
        let mut samples = self.series(query).await;
        for (labels, _) in &mut samples {
            labels.retain(|name, _| !matches!(name.as_str(), "__name__" | "instance" | "job"));
        }
        samples
    }

    /// What an instant query gives at a time, in seconds: all labels, and the value.
    pub(crate) async fn answer_at(&self, query: &str, time: u64) -> BTreeMap<String, String> {
        let look = async || {
            let parameters = [("query", query), ("time", &time.to_string())];
            self.data("/api/v1/query", &parameters).await
        };
        let data = eventually("Prometheus to be ready", look).await;
        let samples = data["result"].as_array().unwrap().iter();
        let samples = samples.map(|it| (it["metric"].to_string(), it["value"][1].to_string()));
        samples.collect()
    }

    /// The series that an instant query gives at a time, in seconds, and how many samples it reads.
    pub(crate) async fn cost_at(&self, query: &str, time: u64) -> (Vec<Value>, u64) {
        let time = time.to_string();
        let parameters = [("query", query), ("time", &time), ("stats", "all")];
        let look = async || self.data("/api/v1/query", &parameters).await;
        let data = eventually("Prometheus to be ready", look).await;
        let read = data["stats"]["samples"]["totalQueryableSamples"].as_u64();
        (data["result"].as_array().unwrap().clone(), read.unwrap())
    }

    /// The rules of all groups, as the API describes them.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let Some(data) = self.data("/api/v1/rules", &[]).await else {
            return Vec::new();
        };
        let groups = data["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.cloned().collect()
    }

    /// Waits until every target was scraped, well or badly.
    pub(crate) async fn has_scraped_all_targets(&self) {
        computed("every target to be scraped", async {
            loop {
                let targets = self.targets().await;
                let scraped = targets.iter().all(|target| target["health"] != "unknown");
                if scraped && !targets.is_empty() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    /// Waits until each group of rules was evaluated on what is there now, and asserts that no
    /// rule failed.
    pub(crate) async fn has_evaluated_what_is_there(&self) {
        let now = self.data("/api/v1/query", &[("query", "time()")]).await;
        let now: f64 = now.unwrap()["result"][1].as_str().unwrap().parse().unwrap();
        computed("every group of rules to be evaluated", async {
            loop {
                let begun = self.last_evaluations().await;
                if !begun.is_empty() && begun.iter().all(|begun| *begun > now) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
        for rule in self.rules().await {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }

    /// When the last evaluation of each group of rules that has ended began.
    async fn last_evaluations(&self) -> Vec<f64> {
        let data = self.data("/api/v1/rules", &[]).await;
        let groups = data.map_or(Vec::new(), |data| {
            data["groups"].as_array().unwrap().clone()
        });
        let begun = groups.iter().map(|group| {
            let begun: jiff::Timestamp = group["lastEvaluation"].as_str().unwrap().parse().unwrap();
            begun.as_duration().as_secs_f64()
        });
        begun.collect()
    }

    /// The values of the series that an instant query gives now.
    async fn values(&self, query: &str) -> Vec<f64> {
        let samples = self.query(query).await;
        samples.into_iter().map(|(_, value)| value).collect()
    }

    /// Waits until a query gives exactly these values.
    pub(crate) async fn until(&self, query: &str, values: &[f64]) {
        let what = format!("{query} to be {values:?}");
        let look = async || (self.values(query).await == values).then_some(());
        eventually(&what, look).await;
    }

    /// Waits until a query has an answer.
    pub(crate) async fn has_data(&self, query: &str) {
        let what = format!("data for {query}");
        let look = async || (!self.query(query).await.is_empty()).then_some(());
        eventually(&what, look).await;
    }

    /// Every scraped sample of the one series that `selector` selects: time and value.
    async fn samples(&self, selector: &str) -> Vec<(f64, f64)> {
        let query = format!("{selector}[1h]");
        let data = self.data("/api/v1/query", &[("query", &query)]).await;
        let data = data.unwrap();
        let series = data["result"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{selector}: {data}");
        let samples = series[0]["values"].as_array().unwrap();
        samples
            .iter()
            .map(|sample| {
                let value = sample[1].as_str().unwrap().parse().unwrap();
                (sample[0].as_f64().unwrap(), value)
            })
            .collect()
    }

    /// What the API says of each target.
    pub(crate) async fn targets(&self) -> Vec<Value> {
        let data = self.data("/api/v1/targets", &[]).await;
        data.map_or(Vec::new(), |data| {
            data["activeTargets"].as_array().unwrap().clone()
        })
    }

    /// What it complained of when it has ended, such as duplicate, disordered or malformed
    /// samples.
    pub(crate) async fn complaints(mut self) -> Vec<String> {
        self.program.signal("TERM").await;
        assert!(self.program.ended().await.success());
        let mut log = self.program.whole_log().await;
        log.retain(|line| line.to_lowercase().contains("level=warn") || line.contains("ngesting"));
        log.retain(|line| !line.contains("exiting gracefully"));
        log
    }
}

/// What `promtool` says: whether all is well, and its words.
pub(crate) async fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    tool("promtool", arguments, input).await
}

/// The program of this name that is on PATH, and the newest, if there is one (`tests/run`).
pub(crate) fn each_version(program: &str) -> Vec<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what `tests/run` says is for the tests"
    )]
    let newest = std::env::var("NEWEST_TOOLS").ok();
    let newest = newest.map(|folder| format!("{folder}/{program}"));
    [program.to_owned()].into_iter().chain(newest).collect()
}

/// What a program says: whether all is well, and its words.
pub(crate) async fn tool(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        // It ends soon: to collect its garbage less often takes a third off its time.
        .env("GOGC", "400")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {program}: {error}; {REMEDY}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = computed(program, async {
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    })
    .await;
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(words).unwrap())
}

fn fields(near_expiry: u64) -> Answer {
    let fields = json!({"LicenseCnt": 40, "NearExpiryLicenseCnt": near_expiry});
    let fields: &AnswerFields = fields.as_object().unwrap();
    Answer::Fields(fields.clone())
}

/// A collected account that has every kind of trouble in its labels.
const ODD: &str = "prod \"eu\"\\主机";

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_sees_values_change_go_stale_and_come_back() {
    let scenario = r#"
accounts:
  - {name: steady, secret_id: AKIDsteady, secret_key: key-steady, fields: {LicenseCnt: 7, ProtectType: "旗\"\\\n"}}
  - {name: failing, secret_id: AKIDfailing, secret_key: key-failing}
"#;
    let cloud = Cloud::start(scenario).await;
    cloud.handle.play("failing", fields(4)).unwrap();
    let config = format!(
        r#"
{LICENSES_ALONE}
poll: {{interval: 1s, timeout: 1s, max_age: 4s}}
api: {{endpoint: '{}'}}
accounts:
  - name: {}
    region: ap-guangzhou
    labels: {{team: 'a "b" \c 安全'}}
    credentials: {{type: static, secret_id: AKIDsteady, secret_key_env: KEY_STEADY}}
  - name: failing
    credentials: {{type: static, secret_id: AKIDfailing, secret_key_env: KEY_FAILING}}
"#,
        cloud.url,
        json!(ODD)
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut exporter = Program::start(
        &[
            "--config.file",
            file.path().to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &[("KEY_STEADY", "key-steady"), ("KEY_FAILING", "key-failing")],
    );
    let prometheus = Prometheus::scraping(&exporter.url().await).await;

    // The target is healthy, and the values are the simulator's.
    prometheus.until("up{job='cwp'}", &[1.0]).await;
    let targets = prometheus.targets().await;
    let target = &targets[0];
    assert_eq!(target["health"], "up", "{target}");
    assert_eq!(target["lastError"], "", "{target}");
    let near_expiry = "tencentcloud_cwp_licenses_near_expiry{account='failing'}";
    let up = "tencentcloud_cwp_up{account='failing'}";
    prometheus.until(near_expiry, &[4.0]).await;
    prometheus.until(up, &[1.0]).await;
    cloud.handle.play("failing", fields(9)).unwrap();
    prometheus.until(near_expiry, &[9.0]).await;

    // Label values arrive as they are.
    let odd = |more: &[(&str, &str)]| -> Sample {
        let labels = [&[("account", ODD)], more].concat();
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (labels.collect(), 1.0)
    };
    prometheus
        .until("tencentcloud_cwp_licenses == 7", &[7.0])
        .await;
    assert_eq!(
        prometheus.query("tencentcloud_cwp_protect_type").await,
        [odd(&[("type", "旗\"\\\n")])]
    );
    assert_eq!(
        prometheus
            .query("tencentcloud_cwp_account_info{region!=''}")
            .await,
        [odd(&[
            ("endpoint", &cloud.url),
            ("region", "ap-guangzhou"),
            ("label_team", "a \"b\" \\c 安全"),
        ])]
    );

    // A failing account keeps its values at first …
    let error = Answer::Error {
        code: "InternalError".to_owned(),
        message: "An internal error has occurred.".to_owned(),
    };
    cloud.handle.play("failing", error).unwrap();
    let kept = format!("{near_expiry} and on (account) tencentcloud_cwp_up == 0");
    prometheus.until(&kept, &[9.0]).await;
    let reason = "cwp_exporter_collector_failure_reason{account='failing', reason='server'}";
    assert_eq!(prometheus.values(reason).await, [1.0]);

    // … and loses all but its name when they are too old, at once and not 5 minutes later.
    prometheus.until(near_expiry, &[]).await;
    assert_eq!(prometheus.values(up).await, [0.0]);
    let left = "count({__name__=~'tencentcloud_cwp_.+', account='failing'})";
    assert_eq!(prometheus.values(left).await, [2.0]);
    let info = "tencentcloud_cwp_account_info{account='failing'}";
    assert_eq!(prometheus.values(info).await, [1.0]);
    let others = "tencentcloud_cwp_licenses and on (account) tencentcloud_cwp_up == 1";
    assert_eq!(prometheus.values(others).await, [7.0]);

    // It recovers.
    cloud.handle.play("failing", fields(12)).unwrap();
    prometheus.until(near_expiry, &[12.0]).await;
    prometheus.until(up, &[1.0]).await;
    prometheus.until(reason, &[]).await;

    // Over the whole story: no value that the cloud has not named, none older than max_age,
    // and no failed scrape.
    let seen = prometheus.samples(near_expiry).await;
    let mut values: Vec<f64> = seen.iter().map(|(_, value)| *value).collect();
    values.dedup();
    assert_eq!(values, [4.0, 9.0, 12.0]);
    let last_success = "cwp_exporter_collector_last_success_timestamp_seconds{account='failing'}";
    let last_success = prometheus.samples(last_success).await;
    for (at, value) in &seen {
        // One scrape's samples have one time. Prometheus may round it by 10 ms.
        let same_scrape = |(time, _): &&(f64, f64)| time.total_cmp(at).is_eq();
        let (_, success) = last_success.iter().find(same_scrape).unwrap();
        let age = at - success;
        assert!(age < 4.01, "{value} was {age} s old");
    }
    let scrapes = prometheus.samples("up{job='cwp'}").await;
    assert!(scrapes.iter().all(|(_, up)| *up > 0.5), "{scrapes:?}");

    assert_eq!(prometheus.complaints().await, Vec::<String>::new());
    exporter.signal("TERM").await;
    assert!(exporter.ended().await.success());
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn promtool_finds_nothing_wrong_with_the_demo() {
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let url = demo.url().await;
    let page = page_once_ready(&url).await;
    assert!(page.contains("tencentcloud_cwp_licenses{"), "{page}");
    let verdict = promtool(&["check", "metrics"], &page).await;
    assert_eq!(verdict, (true, String::new()));
}
