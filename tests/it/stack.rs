//! From the cloud to the person: the simulated cloud, the exporter, a real Prometheus with
//! the shipped rules and a real Alertmanager with the shipped routes, an hour in a minute.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use cwp_exporter::simulator::{Answer, Fields};
use cwp_exporter::stack::{Settings, Stack};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::{Cloud, Exporter, client, config_for, run};

/// How long a notification may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a notification says of one alert.
#[derive(Debug, Clone, PartialEq)]
struct Notice {
    receiver: String,
    status: String,
    alert: String,
    account: String,
    reason: String,
}

/// The receiver at the end of every route.
struct Inbox {
    url: String,
    notices: watch::Receiver<Vec<Notice>>,
}

impl Inbox {
    async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, notices) = watch::channel(Vec::new());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let sender = sender.clone();
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let message: Value = serde_json::from_slice(&body).unwrap();
                        sender.send_modify(|notices| notices.extend(read(&message)));
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { url, notices }
    }

    /// Waits for a notification, and returns all that have come until then.
    async fn await_notice(&self, status: &str, alert: &str, account: &str) -> Vec<Notice> {
        let mut notices = self.notices.clone();
        let arrived = notices.wait_for(|all| !matching(all, status, alert, account).is_empty());
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(all) => all.unwrap().clone(),
            Err(_) => panic!(
                "waited for {status} {alert} {account}, got {:#?}",
                self.notices.borrow()
            ),
        }
    }

    fn all(&self) -> Vec<Notice> {
        self.notices.borrow().clone()
    }
}

/// The notices of a message, with the alerts' names less what all of them begin with.
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
        "RepurchaseRenewSwitch": true,
    });
    let fields: &Fields = fields.as_object().unwrap();
    Answer::Fields(fields.clone())
}

/// What Alertmanager does with an alert: `active`, or `suppressed` if another mutes it.
async fn state(stack: &Stack, alert: &str, account: &str) -> Option<String> {
    let url = format!("{}/api/v2/alerts", stack.alertmanager_url());
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_renews_is_notified_of_what_happened_and_of_nothing_else() {
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
    let stack = Stack::start(&Settings {
        exporter: exporter.url.trim_start_matches("http://").parse().unwrap(),
        telemetry_path: "/metrics".to_owned(),
        webhook: inbox.url.clone(),
        interval: Duration::from_millis(500),
        pace: 60,
    })
    .await
    .unwrap();

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
    api.play("a0", licences(0, 4)).unwrap();
    let all = inbox.await_notice("firing", "LicenseExpired", "a0").await;
    let expired = matching(&all, "firing", "LicenseExpired", "a0");
    assert_eq!(expired[0].receiver, "pager");
    let all = inbox
        .await_notice("resolved", "LicenseNearExpiry", "a0")
        .await;
    assert!(matching(&all, "resolved", "LicenseExpired", "a0").is_empty());
    api.play("a0", licences(0, 0)).unwrap();
    inbox.await_notice("resolved", "LicenseExpired", "a0").await;

    // A key that is refused is the operator's business, and says nothing of licences.
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
    inbox.await_notice("firing", "DataStale", "a1").await;
    assert_eq!(
        state(&stack, "LicenseExpired", "a1").await.as_deref(),
        Some("suppressed")
    );
    api.play("a0", licences(0, 0)).unwrap();
    api.play("a1", licences(0, 7)).unwrap();
    inbox.await_notice("resolved", "DataStale", "a1").await;

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
