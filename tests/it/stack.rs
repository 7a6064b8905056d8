//! From the cloud to the notification: the simulated cloud, the exporter, a real Prometheus with
//! the shipped rules and a real Alertmanager with the shipped routes, an hour in a minute.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cwp_exporter::commands::stack::{Stack, StackSettings};
use cwp_exporter::simulator::{Answer, AnswerFields};
use cwp_exporter::system::clock::Clock;
use jiff::SignedDuration;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::harness::{
    Cloud, Exporter, LICENSES_ALONE, Scrape, client, config_for, eventually, program, run, within,
};
use crate::inbox::Inbox;

/// How long a notification may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq)]
struct Notice {
    receiver: String,
    status: String,
    alert: String,
    account: String,
    reason: String,
}

impl Inbox {
    /// Waits for a notification, and returns all notifications until then.
    async fn await_notice(&self, status: &str, alert: &str, account: &str) -> Vec<Notice> {
        let what = format!("{status} {alert} {account}");
        self.wait(&what, |all| {
            !matching(all, status, alert, account).is_empty()
        })
        .await
    }

    /// Waits until somebody is paged.
    async fn await_page(&self, alert: &str, account: &str) -> Vec<Notice> {
        let what = format!("a page {alert} {account}");
        self.wait(&what, |all| {
            let fires = matching(all, "firing", alert, account);
            fires.iter().any(|notice| notice.receiver == "pager")
        })
        .await
    }

    async fn wait(&self, what: &str, is_there: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        let mut messages = self.messages.clone();
        let arrived = messages.wait_for(|all| is_there(&notices(all)));
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(all) => notices(&all.unwrap()),
            Err(_) => panic!("waited for {what}, got {:#?}", self.all()),
        }
    }

    fn all(&self) -> Vec<Notice> {
        notices(&self.messages.borrow())
    }
}

/// The notices of all messages.
fn notices(messages: &[Value]) -> Vec<Notice> {
    messages.iter().flat_map(read).collect()
}

/// The notices of a message, with the alerts' names without their common prefix.
fn read(message: &Value) -> Vec<Notice> {
    let alerts = message["alerts"].as_array().unwrap();
    let notices = alerts.iter().map(|alert| {
        let label = |name: &str| alert["labels"][name].as_str().unwrap_or("").to_owned();
        Notice {
            receiver: message["receiver"].as_str().unwrap().to_owned(),
            status: alert["status"].as_str().unwrap().to_owned(),
            alert: label("alertname").replace("TencentCloudCWP", ""),
            account: label("account"),
            reason: label("reason"),
        }
    });
    notices.collect()
}

fn matching<'a>(
    notices: &'a [Notice],
    status: &str,
    alert: &str,
    account: &str,
) -> Vec<&'a Notice> {
    let notices = notices.iter().filter(|notice| {
        notice.status == status && notice.alert == alert && notice.account == account
    });
    notices.collect()
}

fn licences(near_expiry: u64, expired: u64) -> Answer {
    let fields = json!({
        "LicenseCnt": 40, "AvailableLicenseCnt": 20, "UsedLicenseCnt": 10,
        "NotExpiredLicenseCnt": 40 - expired,
        "NearExpiryLicenseCnt": near_expiry, "ExpireLicenseCnt": expired,
        "RepurchaseRenewSwitch": false,
    });
    let fields: &AnswerFields = fields.as_object().unwrap();
    Answer::Fields(fields.clone())
}

/// A stack that scrapes `exporter` and notifies `inbox`.
async fn stack_of(exporter: &Exporter, inbox: &Inbox) -> Stack {
    let settings = StackSettings {
        exporter: exporter.url.trim_start_matches("http://").parse().unwrap(),
        telemetry_path: "/metrics".to_owned(),
        webhook: inbox.url.clone(),
        interval: Duration::from_millis(500),
    };
    Stack::start(&settings).await.unwrap()
}

/// The state of an alert at Alertmanager: `active`, or `suppressed` by another alert.
async fn state(stack: &Stack, alert: &str, account: &str) -> Option<String> {
    let url = format!("{}/api/v2/alerts", stack.alertmanager_url);
    let text = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
    let found = alerts.iter().find(|each| {
        each["labels"]["alertname"] == format!("TencentCloudCWP{alert}")
            && each["labels"]["account"] == account
    })?;
    Some(found["status"]["state"].as_str().unwrap().to_owned())
}

/// Waits until Prometheus has an answer to a query.
async fn await_answer(stack: &Stack, query: &str) {
    let page = url::Url::parse(&stack.prometheus_page).unwrap();
    let mut url = page.join("/api/v1/query").unwrap();
    url.query_pairs_mut().append_pair("query", query);
    let answers = async {
        let mut looks = tokio::time::interval(Duration::from_millis(500));
        loop {
            looks.tick().await;
            let answer = client().get(url.clone()).send().await.unwrap();
            let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            if answer["data"]["result"] != json!([]) {
                return;
            }
        }
    };
    let within = tokio::time::timeout(PATIENCE, answers).await;
    within.unwrap_or_else(|_| panic!("waited for {query}"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus and Alertmanager"]
async fn every_change_of_licences_and_keys_is_notified_and_nothing_else() {
    // a0 is renewed in time, a1 has expired for good, a2 loses its key.
    let cloud = Cloud::with_accounts(3).await;
    let api = &cloud.handle;
    for (account, answer) in [
        ("a0", licences(0, 0)),
        ("a1", licences(0, 7)),
        ("a2", licences(0, 0)),
    ] {
        api.play(account, answer).unwrap();
    }
    let (config, variables) = config_for(&cloud, 3);
    let config = config.replace("max_age: 2s", "max_age: 10s");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let inbox = Inbox::open().await;
    let stack = stack_of(&exporter, &inbox).await;

    let all = inbox.await_notice("firing", "LicenseExpired", "a1").await;
    assert!(all.iter().all(|notice| notice.account == "a1"), "{all:#?}");

    // Near expiry, expired, renewed.
    api.play("a0", licences(4, 0)).unwrap();
    let all = inbox
        .await_notice("firing", "LicenseNearExpiry", "a0")
        .await;
    let near_expiry = matching(&all, "firing", "LicenseNearExpiry", "a0");
    assert_eq!(near_expiry[0].receiver, "tickets");
    assert!(matching(&all, "firing", "LicenseExpired", "a0").is_empty());
    // What was there before is known once an hour.
    let before = "cluster_namespace_job_account:tencentcloud_cwp_licenses_expired:hourly";
    await_answer(&stack, before).await;
    api.play("a0", licences(0, 4)).unwrap();
    let all = inbox.await_page("LicenseExpired", "a0").await;
    let of_old_records = matching(&all, "firing", "LicenseExpired", "a1");
    let receivers: Vec<&str> = of_old_records
        .iter()
        .map(|notice| notice.receiver.as_str())
        .collect();
    assert_eq!(receivers, ["tickets"]);
    let all = inbox
        .await_notice("resolved", "LicenseNearExpiry", "a0")
        .await;
    assert!(matching(&all, "resolved", "LicenseExpired", "a0").is_empty());
    api.play("a0", licences(0, 0)).unwrap();
    inbox.await_notice("resolved", "LicenseExpired", "a0").await;

    // A refused key causes no alert about licences.
    api.set_secret("a2", "another", None).unwrap();
    let all = inbox.await_notice("firing", "AccountFailing", "a2").await;
    let failing = matching(&all, "firing", "AccountFailing", "a2");
    assert!(
        failing.iter().all(|notice| notice.reason == "credentials"),
        "{all:#?}"
    );

    // The API goes down: what has expired stays expired, and is muted, not resolved.
    for account in ["a0", "a1"] {
        let down = Answer::Error {
            code: "InternalError".to_owned(),
            message: "down".to_owned(),
        };
        api.play(account, down).unwrap();
    }
    inbox.await_notice("firing", "AccountFailing", "a1").await;
    let is_muted = async || {
        let state = state(&stack, "LicenseExpired", "a1").await;
        (state.as_deref() == Some("suppressed")).then_some(())
    };
    eventually("the licence alert to be muted", is_muted).await;
    // That the data is stale follows from the failure.
    let stale = state(&stack, "DataStale", "a1").await;
    assert_eq!(stale.as_deref(), Some("suppressed"));
    api.play("a0", licences(0, 0)).unwrap();
    api.play("a1", licences(0, 7)).unwrap();
    inbox.await_notice("resolved", "AccountFailing", "a1").await;

    let all = inbox.all();
    let licences: Vec<_> = all
        .iter()
        .filter(|notice| notice.alert.starts_with("License"))
        .collect();
    assert!(
        matching(&all, "resolved", "LicenseExpired", "a1").is_empty(),
        "{all:#?}"
    );
    assert!(
        licences.iter().all(|notice| notice.account != "a2"),
        "{all:#?}"
    );
    for absent in [
        "LicenseNearExpiryNoRenewal",
        "LicenseNoneAvailable",
        "ExporterDown",
        "ExporterAbsent",
    ] {
        assert!(all.iter().all(|notice| notice.alert != absent), "{all:#?}");
    }
    stack.stop().await;
}

/// A list with one order, in use, that ends in so many days.
fn order_that_ends_in(days: i64) -> Answer {
    let deadline = Clock::system().now() + SignedDuration::from_hours(24 * days);
    let deadline = TimeZone::fixed(Offset::constant(8)).to_datetime(deadline);
    let fields = json!({"TotalCount": 1, "List": [{
        "LicenseId": 1, "LicenseType": 1, "LicenseStatus": 1, "LicenseCnt": 20,
        "UsedLicenseCnt": 7, "OrderStatus": 1, "ResourceId": "cwplic-00000001",
        "Deadline": deadline.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        "BuyTime": "2025-01-01 00:00:00", "AutoRenewFlag": 0, "ProjectId": 0, "TaskId": 0,
        "SourceType": 0, "Alias": "", "Tags": [], "FreezeNum": 0,
    }]});
    let fields: &AnswerFields = fields.as_object().unwrap();
    Answer::Fields(fields.clone())
}

#[tokio::test]
#[ignore = "needs prometheus and prometheus-alertmanager, and two minutes"]
async fn an_order_whose_deadline_comes_near_pages_through_an_outage_until_it_is_renewed() {
    let cloud = Cloud::with_accounts(1).await;
    let list = |days| {
        let answer = order_that_ends_in(days);
        let played = cloud
            .handle
            .play_action("a0", "DescribeLicenseList", answer);
        played.unwrap();
    };
    cloud.handle.play("a0", licences(0, 0)).unwrap();
    list(8);
    let (config, variables) = config_for(&cloud, 1);
    let orders = "collectors: {license_list: {interval: 1s, max_age: 5s}}\n";
    let config = config.replace(LICENSES_ALONE, orders);
    let config = config.replace("max_age: 2s", "max_age: 5s");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let inbox = Inbox::open().await;
    let stack = stack_of(&exporter, &inbox).await;

    let all = inbox.await_notice("firing", "OrderExpiring", "a0").await;
    let ticket = matching(&all, "firing", "OrderExpiring", "a0");
    assert_eq!(ticket[0].receiver, "tickets");
    list(6);
    inbox.await_page("OrderExpiring", "a0").await;

    // The order cannot be read for so long that its series are withdrawn: that is no renewal.
    cloud.handle.play("a0", Answer::Reset).unwrap();
    let is_withdrawn = |scrape: &Scrape| !scrape.text.contains("cwplic-00000001");
    exporter
        .until("the orders to be withdrawn", is_withdrawn)
        .await;
    let all = inbox.await_notice("firing", "AccountFailing", "a0").await;
    let pager = |notice: &&Notice| notice.receiver == "pager";
    let resolved = matching(&all, "resolved", "OrderExpiring", "a0");
    assert!(!resolved.iter().any(pager), "{all:#?}");

    cloud.handle.play("a0", licences(0, 0)).unwrap();
    list(371);
    let is_resolved = |all: &[Notice]| {
        let resolved = matching(all, "resolved", "OrderExpiring", "a0");
        resolved.iter().any(pager)
    };
    inbox.wait("the page to be resolved", is_resolved).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_stack_without_its_programs_says_what_to_install() {
    let output = run(
        &["--web.listen-address=127.0.0.1:0", "demo", "--stack"],
        &[("PATH", "/nowhere")],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("there is no alertmanager on PATH; install it"),
        "{stderr}"
    );
}

/// `demo --stack` after its first lines.
struct Demo {
    child: Child,
    /// The first lines of its output.
    lines: Vec<String>,
}

impl Demo {
    /// Starts it with the programs in the folders `path`.
    async fn start(path: &str) -> Self {
        let arguments = ["--web.listen-address=127.0.0.1:0", "demo", "--stack"];
        let mut child = program(&arguments, &[("PATH", path)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = Vec::new();
        within("the demo to start", async {
            while !lines.iter().any(|line: &String| line.contains("Ctrl-C")) {
                let line = output.next_line().await.unwrap();
                lines.push(line.expect("the demo has ended"));
            }
        })
        .await;
        // The output is read further, so that the demo can write notifications.
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        Self { child, lines }
    }

    /// The URL in the line that begins with `word`.
    fn url(&self, word: &str) -> &str {
        let line = self.lines.iter().find(|line| line.starts_with(word));
        let mut words = line.unwrap().split(' ');
        words.find(|word| word.starts_with("http://")).unwrap()
    }

    /// A connection to the program at the URL in the line that begins with `word`.
    async fn connect(&self, word: &str) -> TcpStream {
        let url: url::Url = self.url(word).parse().unwrap();
        let address = (Ipv4Addr::LOCALHOST, url.port().unwrap());
        TcpStream::connect(address).await.unwrap()
    }
}

async fn signal(child: &Child, name: &str) {
    let kill = format!("kill -s {name} {}", child.id().unwrap());
    let sent = Command::new("sh").args(["-c", &kill]).status().await;
    assert!(sent.unwrap().success());
}

/// The folders with programs: those of this machine, and before them the newest stack.
fn paths() -> Vec<String> {
    let usual = std::env::var_os("PATH").unwrap().into_string().unwrap();
    let newest = std::env::var_os("NEWEST_TOOLS").map(|folder| folder.into_string().unwrap());
    let newest = newest.map(|folder| format!("{folder}:{usual}"));
    [Some(usual), newest].into_iter().flatten().collect()
}

#[tokio::test]
#[ignore = "needs Prometheus and Alertmanager"]
async fn the_demo_prints_only_pages_that_open_and_show_alerts() {
    for path in paths() {
        let demo = Demo::start(&path).await;
        for word in ["Open", "Prometheus", "Alertmanager"] {
            let url = demo.url(word);
            let answer = client().get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{url}");
            let page = answer.text().await.unwrap();
            assert!(!page.contains("does not include the"), "{url}: {page}");
        }
    }
}

#[tokio::test]
async fn a_demo_with_tls_prints_https_and_refuses_a_stack() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("crt"), key.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key"), key.signing_key.serialize_pem()).unwrap();
    let config = folder.path().join("web.yml");
    let tls = "tls_server_config: {cert_file: crt, key_file: key}\n";
    std::fs::write(&config, tls).unwrap();
    let config = format!("--web.config.file={}", config.display());
    let arguments = ["--web.listen-address=127.0.0.1:0", "demo", &config];
    let mut child = program(&arguments, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("the demo", output.next_line()).await.unwrap();
    let line = line.unwrap();
    assert!(line.starts_with("Open https://127.0.0.1:"), "{line}");
    assert!(line.contains("or scrape https://"), "{line}");

    let refused = run(&[&arguments[..], &["--stack"]].concat(), &[]).await;
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("leave one of the two flags out"), "{words}");
}

#[tokio::test]
#[ignore = "needs Prometheus and Alertmanager"]
async fn the_demo_leaves_no_program_behind_however_it_ends() {
    for name in ["HUP", "TERM", "INT", "KILL"] {
        let mut demo = Demo::start(&paths()[0]).await;
        let connections = [
            demo.connect("Prometheus").await,
            demo.connect("Alertmanager").await,
        ];
        signal(&demo.child, name).await;
        let ended = within("the demo to end", demo.child.wait()).await.unwrap();
        assert_eq!(ended.success(), name != "KILL", "{name}: {ended}");
        for mut connection in connections {
            let mut byte = [0];
            let closed = within("the stack to end", connection.read(&mut byte)).await;
            assert_eq!(closed.unwrap_or(0), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn a_demo_that_is_stopped_while_it_starts_leaves_no_program_behind() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("running");
    let made = Command::new("mkfifo").arg(&fifo).status().await.unwrap();
    assert!(made.success());
    // It never says that it listens, and holds the FIFO open for as long as it runs.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit\nexec tail -f /dev/null >{}\n",
        fifo.display()
    );
    executable(&folder.path().join("alertmanager"), &script);
    let path = format!("{}:{}", folder.path().display(), paths()[0]);
    for name in ["HUP", "TERM", "INT", "KILL"] {
        let arguments = ["--web.listen-address=127.0.0.1:0", "demo", "--stack"];
        let mut demo = program(&arguments, &[("PATH", &path)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Opens once the program runs.
        let opened = tokio::fs::File::open(&fifo);
        let mut running = within("the program to start", opened).await.unwrap();
        signal(&demo, name).await;
        let ended = within("the demo to end", demo.wait()).await.unwrap();
        assert_eq!(ended.success(), name != "KILL", "{name}: {ended}");
        let mut byte = [0];
        let closed = within("the program to end", running.read(&mut byte)).await;
        assert_eq!(closed.unwrap(), 0, "{name}");
    }
}

fn executable(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
