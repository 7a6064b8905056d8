//! A second collector beside `license_general`, through everything: it exists only here, and
//! uses all that the contract offers: pages, rows with labels of their own, drift within rows,
//! other parameters after a refusal, an interval, a `max_age` and a cap of its own.

use std::time::Duration;

use bytes::Bytes;
use cwp_exporter::cloud::{Error, Fields, Request};
use cwp_exporter::collectors::license_general::LicenseGeneral;
use cwp_exporter::collectors::{
    self, Collected, Collector, Collectors, Documented, Next, Object, Reading, Sample,
};
use cwp_exporter::commands::{doctor, once};
use cwp_exporter::config::{
    CollectorDefaults, CollectorSettings, Config, ConfigError, Environment, Source,
};
use cwp_exporter::exposition::Format;
use cwp_exporter::metrics::{Kind, MetricDef};
use cwp_exporter::simulator::Answer;
use cwp_exporter::system::clock::Clock;
use serde_json::Value;

use crate::harness::{Cloud, Exporter, LICENSES_ALONE, Scrape, config_for, within};

const BOXES: &MetricDef = &MetricDef {
    name: "tencentcloud_cwp_boxes",
    help: "Boxes. Polled and cached.",
    kind: Kind::Gauge,
    labels: &["account"],
};

const BOX_SIZE: &MetricDef = &MetricDef {
    name: "tencentcloud_cwp_box_size",
    help: "The size of a box. Polled and cached.",
    kind: Kind::Gauge,
    labels: &["account", "box", "colour"],
};

/// The collector `box_list` of the action `DescribeBoxes`.
struct BoxList;

static TABLE: [&dyn Collector; 2] = [&LicenseGeneral, &BoxList];

fn table() -> Collectors {
    &TABLE
}

impl Collector for BoxList {
    fn name(&self) -> &'static str {
        "box_list"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        &[BOXES, BOX_SIZE]
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        Some(CollectorDefaults {
            name: self.name(),
            settings: CollectorSettings {
                enabled: true,
                interval: Duration::from_secs(300),
                max_age: Duration::from_secs(1800),
                max_rows: Some(500),
            },
        })
    }

    fn request(&self) -> Request {
        Request {
            service: "cwp",
            action: "DescribeBoxes",
            version: "2018-02-28",
            // More than the API allows, so that it refuses.
            body: parameters(1000, 0),
            secret: None,
        }
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(Pages::default())
    }
}

fn parameters(limit: usize, offset: usize) -> Bytes {
    format!(r#"{{"Limit":{limit},"Offset":{offset}}}"#).into()
}

#[derive(Default)]
struct Pages(Collected);

impl Reading for Pages {
    fn refused(&mut self, error: &Error) -> Option<Bytes> {
        (error.code.as_deref() == Some("InvalidParameterValue")).then(|| parameters(100, 0))
    }

    fn read(&mut self, answer: &Fields) -> Next {
        let mut answer = Object::new(answer, "");
        let all = answer.count("TotalCount", Documented::Yes);
        let rows: Option<Vec<Fields>> = answer.read("List", Documented::Yes, |json| {
            serde_json::from_str(json).ok()
        });
        self.0.recognized = answer.is_recognized();
        self.0.drift.extend(answer.drift());
        for row in rows.iter().flatten() {
            let mut row = Object::new(row, "List[].");
            let name = row.text("Name", Documented::Yes).unwrap_or_default();
            let colour = row.text("Colour", Documented::Yes).unwrap_or_default();
            let size = row.count("Size", Documented::Yes);
            let sample = size.map(|size| Sample::new(BOX_SIZE, [name.into(), colour.into()], size));
            self.0.rows.push(sample.into_iter().collect());
            self.0.drift.extend(row.drift());
        }
        let all = all.unwrap_or_default();
        if rows.is_some_and(|rows| !rows.is_empty()) && (self.0.rows.len() as f64) < all {
            return Next::Ask(parameters(100, self.0.rows.len()));
        }
        self.0.drift.sort();
        self.0.drift.dedup();
        self.0.samples.push(Sample::new(BOXES, [], all));
        Next::Done(std::mem::take(&mut self.0))
    }
}

/// A cloud with the account `a0`, which has so many boxes, and the further keys `more`.
async fn cloud_with(boxes: usize, more: &str) -> Cloud {
    let list: Vec<String> = (0..boxes)
        .map(|number| match number {
            7 => r#"{Name: "odd\"\\", Colour: 赤, Size: -1}"#.to_owned(),
            _ => format!(r#"{{Name: box-{number}, Colour: "b\"lue", Size: {number}}}"#),
        })
        .collect();
    Cloud::start(&format!(
        "accounts:\n  - {{name: a0, secret_id: AKIDa0, secret_key: key-a0, {more} \
         answers: {{DescribeBoxes: {{List: [{}]}}}}}}\n",
        list.join(", ")
    ))
    .await
}

/// What configures [`cloud_with`], with these settings of the collector.
fn configured(cloud: &Cloud, settings: &str) -> (String, Vec<(String, String)>) {
    let (config, variables) = config_for(cloud, 1);
    let config = config.replace("timeout: 500ms", "timeout: 10s");
    let collectors = format!("collectors: {{box_list: {settings}}}\n");
    (config.replace(LICENSES_ALONE, &collectors), variables)
}

async fn exporter(cloud: &Cloud, settings: &str) -> Exporter {
    let (config, variables) = configured(cloud, settings);
    Exporter::start_with(&config, variables, |options| options.collectors = table()).await
}

const SUCCESS: &str = "cwp_exporter_collector_success{account=\"a0\",collector=\"box_list\"}";

fn collected(scrape: &Scrape) -> bool {
    scrape.value(SUCCESS).is_some() && scrape.succeeded("a0").is_some()
}

fn of_kind<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines();
    lines.filter(move |line| line.starts_with(metric) && line[metric.len()..].starts_with('{'))
}

async fn status_of(exporter: &Exporter) -> Value {
    let status = exporter.get("/api/v1/status").await.text().await.unwrap();
    serde_json::from_str(&status).unwrap()
}

#[tokio::test]
async fn all_pages_are_read_and_rows_beyond_the_cap_are_told() {
    let cloud = cloud_with(250, "").await;
    let exporter = exporter(&cloud, "{max_rows: 240, interval: 2m, max_age: 20m}").await;
    let scrape = exporter.until("both collections", collected).await;
    assert_eq!(scrape.value(SUCCESS), Some(1.0));
    assert_eq!(
        scrape.value("tencentcloud_cwp_boxes{account=\"a0\"}"),
        Some(250.0)
    );
    // One of the 240 rows has no valid size.
    assert_eq!(of_kind(&scrape.text, BOX_SIZE.name).count(), 239);
    let blue = "tencentcloud_cwp_box_size{account=\"a0\",box=\"box-239\",colour=\"b\\\"lue\"}";
    assert_eq!(scrape.value(blue), Some(239.0));
    for (series, value) in [
        (
            "cwp_exporter_collector_rows_hidden{account=\"a0\",collector=\"box_list\"}",
            10.0,
        ),
        (
            "cwp_exporter_collector_interval_seconds{collector=\"box_list\"}",
            120.0,
        ),
        (
            "cwp_exporter_collector_max_age_seconds{collector=\"box_list\"}",
            1200.0,
        ),
        (
            "cwp_exporter_collector_interval_seconds{collector=\"license_general\"}",
            1.0,
        ),
        (
            "cwp_exporter_schema_drift{account=\"a0\",collector=\"box_list\",field=\"List[].Size\",kind=\"invalid\"}",
            1.0,
        ),
        // Refused, and three pages.
        (
            "cwp_exporter_api_requests_total{action=\"DescribeBoxes\"}",
            4.0,
        ),
    ] {
        assert_eq!(scrape.value(series), Some(value), "{series}");
    }

    let request = exporter.get("/probe?target=a0").await;
    let probe = request.text().await.unwrap();
    assert_eq!(of_kind(&probe, BOX_SIZE.name).count(), 239);
    assert!(
        probe.contains("cwp_exporter_collector_interval_seconds{collector=\"box_list\"} 120\n")
    );

    let client = reqwest::Client::new();
    let openmetrics = client
        .get(format!("{}/metrics", exporter.url))
        .header("accept", "application/openmetrics-text; version=1.0.0");
    let openmetrics = openmetrics.send().await.unwrap().text().await.unwrap();
    assert_eq!(of_kind(&openmetrics, BOX_SIZE.name).count(), 239);
    assert!(openmetrics.ends_with("# EOF\n"));

    let status = status_of(&exporter).await;
    let report = &status["data"]["accounts"][0]["collectors"][1];
    assert_eq!(report["collector"], "box_list");
    assert_eq!(report["interval_seconds"], 120.0);
    assert_eq!(report["rows_hidden"], 10);
    assert_eq!(report["series"], 240);
    // Every two minutes one that is refused, and three pages.
    assert_eq!(report["budget"]["requests_per_day"], 720 * 4);
    let page = exporter.get("/").await.text().await.unwrap();
    assert!(page.contains("box_list"), "{page}");
    let shown = exporter.get("/config").await.text().await.unwrap();
    let settings = "collectors:\n  box_list:\n    enabled: true\n    interval: 2m\n    max_age: 20m\n    max_rows: 240\n";
    assert!(shown.contains(settings), "{shown}");
}

#[tokio::test]
async fn a_failure_is_its_own_and_the_account_stays_up_and_ready() {
    let cloud = cloud_with(3, "allow: [\"cwp:DescribeLicenseGeneral\"],").await;
    let exporter = exporter(&cloud, "{interval: 1s}").await;
    let scrape = exporter.until("both collections", collected).await;
    assert_eq!(scrape.value(SUCCESS), Some(0.0));
    let reason = "cwp_exporter_collector_failure_reason{account=\"a0\",collector=\"box_list\",reason=\"permission\"}";
    assert_eq!(scrape.value(reason), Some(1.0));
    assert_eq!(
        scrape.value("tencentcloud_cwp_up{account=\"a0\"}"),
        Some(1.0)
    );
    assert_eq!(scrape.licence_series("a0").len(), 25);
    assert_eq!(exporter.get("/-/ready").await.status(), 200);
    let status = status_of(&exporter).await;
    assert_ne!(status["data"]["accounts"][0]["health"], "failing");
    assert_eq!(status["data"]["accounts"][0]["up"], true);
}

#[tokio::test]
async fn a_collector_that_is_off_asks_nothing_and_one_that_is_switched_on_begins() {
    let cloud = cloud_with(3, "").await;
    let exporter = exporter(&cloud, "{enabled: false}").await;
    let scrape = exporter.ready().await;
    assert!(!scrape.text.contains("box_list"), "{}", scrape.text);
    let (config, _) = configured(&cloud, "{enabled: true}");
    assert_eq!(exporter.reload(&config).await.status(), 200);
    let scrape = exporter.until("both collections", collected).await;
    assert_eq!(scrape.value(SUCCESS), Some(1.0));
    let (config, _) = configured(&cloud, "{enabled: false}");
    assert_eq!(exporter.reload(&config).await.status(), 200);
    let scrape = exporter.scrape().await;
    assert!(!scrape.text.contains("box_list"), "{}", scrape.text);
    assert_eq!(scrape.licence_series("a0").len(), 25);
}

#[tokio::test]
async fn rows_come_back_from_the_state_folder() {
    let cloud = cloud_with(3, "").await;
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let (config, variables) = configured(&cloud, "{max_rows: 2}");
        Exporter::start_with(&config, variables, |options| {
            options.collectors = table();
            options.state_dir = Some(folder.path().to_owned());
        })
        .await
    };
    let first = start().await;
    let before = first.until("both collections", collected).await;
    within("the end", first.stop()).await;

    cloud.handle.play("a0", Answer::Hang).unwrap();
    let second = start().await;
    let after = second.scrape().await;
    let restored = "cwp_exporter_collector_restored{account=\"a0\",collector=\"box_list\"}";
    assert_eq!(after.value(restored), Some(1.0));
    let hidden = "cwp_exporter_collector_rows_hidden{account=\"a0\",collector=\"box_list\"}";
    assert_eq!(after.value(hidden), Some(1.0));
    let sizes = |scrape: &Scrape| -> Vec<String> {
        of_kind(&scrape.text, BOX_SIZE.name)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(sizes(&after).len(), 2);
    assert_eq!(sizes(&after), sizes(&before));
}

/// What configures a command in front of `cloud`.
fn source(cloud: &Cloud) -> (tempfile::NamedTempFile, Source) {
    let (config, variables) = configured(cloud, "{}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let source = Source {
        file: Some(file.path().to_owned()),
        environment: Environment::from_iter(variables),
        collectors: collectors::defaults(table()),
        ..Source::default()
    };
    (file, source)
}

#[tokio::test]
async fn once_and_doctor_tell_its_failure_and_do_not_fail() {
    let clock = Clock::system();
    for (allow, fails) in [
        ("", false),
        ("allow: [\"cwp:DescribeLicenseGeneral\"],", true),
    ] {
        let cloud = cloud_with(120, allow).await;
        let (_file, source) = source(&cloud);
        let config = source.load().unwrap();
        let once = once::collect(table(), &config, &source.environment, &clock);
        let (exposition, succeeded) = once.await.unwrap();
        assert!(succeeded);
        let text = String::from_utf8(exposition.render(Format::Text).unwrap()).unwrap();
        let rows = of_kind(&text, BOX_SIZE.name).count();
        assert_eq!(rows, if fails { 0 } else { 119 });

        let report = doctor::examine(table(), &source, &clock, |_| ())
            .await
            .unwrap();
        assert!(report.ok);
        let report = serde_json::to_value(&report).unwrap();
        // Each second, and every five minutes one that is refused, and two pages.
        let requests = 86_400 + 288 * if fails { 1 } else { 3 };
        assert_eq!(report["requests_per_day"], requests);
        let steps = report["accounts"][0]["steps"].as_array().unwrap();
        let step = |name: &str| {
            let mut own = steps.iter().filter(|step| step["collector"] == "box_list");
            own.find(|step| step["step"] == name).unwrap()
        };
        if fails {
            assert_eq!(step("permission")["status"], "ok", "a warning");
            assert!(step("permission")["remedy"].is_string());
        } else {
            let detail = step("answer")["detail"].as_str().unwrap();
            assert!(detail.starts_with("120 values; "), "{detail}");
        }
        let policy = report["policy"].to_string();
        assert_eq!(policy.contains("cwp:DescribeBoxes"), fails, "{policy}");
    }
}

fn problems(yaml: &str) -> String {
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
        ("TENCENTCLOUD_SECRET_KEY", "unused"),
    ];
    let environment = Environment::from(variables);
    let defaults = collectors::defaults(table());
    let config = Config::load(Some(file.path()), &environment, &defaults);
    let error: ConfigError = config.unwrap_err();
    error.to_string()
}

#[test]
fn settings_that_no_collector_has_are_refused_with_a_remedy() {
    for (yaml, problem) in [
        (
            "collectors: {box_lsit: {}}",
            "collectors.box_lsit: unknown collector; did you mean `box_list`?",
        ),
        (
            "collectors: {license_general: {interval: 5m}}",
            "collectors.license_general: this collector has no settings of its own: it is \
             always on; set `poll.interval` and `poll.max_age`",
        ),
        (
            "collectors: {box_list: {enabled: yes please}}",
            "collectors.box_list.enabled: expected true or false, found text; write `true` or \
             `false`",
        ),
        (
            "collectors: {box_list: {max_rows: -1}}",
            "collectors.box_list.max_rows: -1 is out of range; write a whole number from 0 to \
             100000",
        ),
        (
            "collectors: {box_list: {max_age: 1m}}",
            "collectors.box_list.max_age: 1m is shorter than `collectors.box_list.interval` (5m), \
             so values would vanish between two collections; write a few intervals",
        ),
    ] {
        let problems = problems(yaml);
        assert!(problems.contains(problem), "{yaml}: {problems}");
    }
}
