//! Accounts and their credentials put together, on a scripted network.

use std::fmt::Write as _;
use std::io::Seek as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, join_all};
use http::Response;
use jiff::Timestamp;
use prometheus::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::cloud::scripted::{Scripted, failure, running_clock, success};
use crate::collection::Collection;
use crate::collection::fleet::Fleet;
use crate::collectors;
use crate::config::{Config, Environment};
use crate::exposition::{Exposition, Format};
use crate::system::clock::Clock;

const ENVIRONMENT: [(&str, &str); 2] = [
    ("TENCENTCLOUD_SECRET_ID", "AKIDenv"),
    ("TENCENTCLOUD_SECRET_KEY", "key-hunter2"),
];

const ROLE: &str =
    "{type: assume_role, role_arn: 'qcs::cam::uin/1:roleName/R', source: {type: env}}";

/// A cloud whose token service issues `AKID0`, `AKID1`… for two hours each and whose
/// API refuses the ones in `revoked`.
struct Cloud {
    http: Arc<Scripted>,
    revoked: Arc<Mutex<Vec<String>>>,
}

impl Cloud {
    fn new(clock: &Clock) -> Self {
        let revoked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (refused, issued, clock) = (Arc::clone(&revoked), Mutex::new(0), clock.clone());
        let http = Scripted::with(move |sent, _| {
            let body = if sent.request.uri().host() == Some("sts.tencentcloudapi.com") {
                let mut issued = issued.lock().unwrap();
                let number = *issued;
                *issued += 1;
                let expires_at = clock.now().as_second() + 7200;
                success(&format!(
                    r#"{{"Credentials":{{"TmpSecretId":"AKID{number}","TmpSecretKey":"tmp-hunter2","Token":"t0ken-hunter2"}},"ExpiredTime":{expires_at}}}"#
                ))
            } else if refused.lock().unwrap().iter().any(|id| sent.is_from(id)) {
                failure("AuthFailure.TokenFailure")
            } else {
                success(r#"{"LicenseCnt":7,"RequestId":"r"}"#)
            };
            Box::pin(future::ready(Ok(Response::new(Bytes::from(body)))))
        });
        Self { http, revoked }
    }

    /// How often the token service was asked.
    fn asked_sts(&self) -> usize {
        let sent = self.http.sent();
        let sts = sent.iter().filter(|sent| {
            let action = sent.request.headers().get("x-tc-action").unwrap();
            action == "AssumeRole"
        });
        sts.count()
    }
}

/// Accounts, and what a scrape sees of them.
struct Pipeline {
    collections: Vec<Arc<Collection>>,
    exposition: Exposition,
}

/// The pipeline of accounts with these `credentials`.
fn pipeline(cloud: &Cloud, clock: &Clock, credentials: &[&str]) -> Pipeline {
    let mut yaml = "api: {rate_limit: 1000}\naccounts:\n".to_owned();
    for (number, credentials) in credentials.iter().enumerate() {
        writeln!(yaml, "- {{name: a{number}, credentials: {credentials}}}").unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    let environment = Environment::from(ENVIRONMENT);
    let config = Config::load(Some(file.path()), &environment, &[]).unwrap();
    let registry = Registry::new();
    let http = cloud.http.clone();
    let fleet = Fleet::on(
        http,
        collectors::all(),
        &config,
        &environment,
        clock,
        &registry,
    )
    .unwrap();
    let mut collections: Vec<_> = fleet.collections().cloned().collect();
    collections.sort_by(|a, b| a.account().cmp(b.account()));
    let store = Arc::clone(fleet.store());
    let exposition = Exposition::new(registry, store, clock.clone(), None);
    Pipeline {
        collections,
        exposition,
    }
}

async fn collect(pipeline: &Pipeline) -> Vec<bool> {
    let collections = pipeline
        .collections
        .iter()
        .map(|collection| collection.run());
    let outcomes = join_all(collections).await;
    outcomes
        .into_iter()
        .map(|outcome| outcome.is_ok())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_accounts_of_one_role_ask_for_one_key() {
    let clock = running_clock();
    let cloud = Cloud::new(&clock);
    let pipeline = pipeline(&cloud, &clock, &[ROLE; 1000]);
    assert!(collect(&pipeline).await.into_iter().all(|good| good));
    assert_eq!(cloud.asked_sts(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_temporary_credentials_have_an_expiry_and_no_secret_is_exposed() {
    let clock = running_clock();
    let cloud = Cloud::new(&clock);
    let pipeline = pipeline(&cloud, &clock, &[ROLE, "{type: env}", "{type: default}"]);
    let exposed = |text: &str| {
        let page = pipeline.exposition.render(Format::Text).unwrap();
        String::from_utf8(page).unwrap().contains(text)
    };
    let expiry = "cwp_exporter_credential_expiry_timestamp_seconds";
    assert!(!exposed(expiry));
    assert_eq!(collect(&pipeline).await, [true; 3]);
    assert!(exposed(&format!("{expiry}{{account=\"a0\"}} 1717207200\n")));
    assert!(!exposed(&format!("{expiry}{{account=\"a1\"}}")));
    assert!(exposed(
        "cwp_exporter_api_requests_total{action=\"AssumeRole\"} 1\n"
    ));
    assert!(!exposed("AssumeRoleWithWebIdentity"));
    assert!(!exposed("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_or_ageing_key_costs_no_collection() {
    let clock = running_clock();
    let cloud = Cloud::new(&clock);
    let pipeline = pipeline(&cloud, &clock, &[ROLE; 10]);
    for minute in 0..300 {
        if minute == 30 {
            cloud.revoked.lock().unwrap().push("AKID0".to_owned());
        }
        assert_eq!(collect(&pipeline).await, [true; 10], "minute {minute}");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    // The first, its replacement, and two replaced ahead of their expiry.
    assert_eq!(cloud.asked_sts(), 4);
}

#[tokio::test(start_paused = true)]
async fn when_it_was_collected_is_told_by_the_clock_of_now_though_that_was_wrong_then() {
    let wall = Arc::new(Mutex::new(Timestamp::from_second(100).unwrap()));
    let read = Arc::clone(&wall);
    let clock = Clock::new(move || *read.lock().unwrap());
    let cloud = Cloud::new(&clock);
    let pipeline = pipeline(&cloud, &clock, &["{type: env}"]);
    assert_eq!(collect(&pipeline).await, [true]);
    tokio::time::advance(Duration::from_secs(60)).await;
    *wall.lock().unwrap() = Timestamp::from_second(1_795_718_060).unwrap();
    let page = String::from_utf8(pipeline.exposition.render(Format::Text).unwrap()).unwrap();
    for name in ["last_attempt", "last_success"] {
        let line = format!(
            "cwp_exporter_collector_{name}_timestamp_seconds{{account=\"a0\",collector=\"license_general\"}} 1795718000\n"
        );
        assert!(page.contains(&line), "{page}");
    }
}

fn refusal(echo: &str) -> String {
    success(&format!(
        r#"{{"Error":{{"Code":"AuthFailure.TokenFailure","Message":"echo {echo}"}}}}"#
    ))
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_logged_whatever_the_services_echo() {
    let mut file = tempfile::tempfile().unwrap();
    let lines = tracing_subscriber::fmt::layer().with_writer(Arc::new(file.try_clone().unwrap()));
    let subscriber = tracing_subscriber::registry().with(lines);
    crate::system::logging::fixture::not_the_only_subscriber();
    let guard = tracing::subscriber::set_default(subscriber);

    let clock = running_clock();
    let cloud = Cloud::new(&clock);
    let now = clock.clone();
    let http = Scripted::with(move |sent, earlier| {
        let is_sts = sent.request.uri().host() == Some("sts.tencentcloudapi.com");
        let expires_at = now.now().as_second() + 7200;
        let body = match (is_sts, earlier) {
            (true, 0) => success(&format!(
                r#"{{"Credentials":{{"TmpSecretId":"AKIDa","TmpSecretKey":"tmp-hunter2","Token":"t0ken-hunter2"}},"ExpiredTime":{expires_at}}}"#
            )),
            (true, _) => refusal("key-hunter2"),
            (false, _) => refusal("tmp-hunter2 t0ken-hunter2"),
        };
        Box::pin(future::ready(Ok(Response::new(body.into()))))
    });
    let pipeline = pipeline(&Cloud { http, ..cloud }, &clock, &[ROLE]);
    for _ in 0..300 {
        for collection in &pipeline.collections {
            if let Err(error) = collection.run().await {
                crate::collection::failure_log::log_failure(
                    tracing::Level::ERROR,
                    "a",
                    "c",
                    &error,
                    0,
                );
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    drop(guard);
    file.rewind().unwrap();
    let log = std::io::read_to_string(file).unwrap();
    for text in [
        "temporary key issued",
        "the previous key stays in use",
        "AssumeRole: AuthFailure.TokenFailure: echo <secret>",
        "AuthFailure.TokenFailure: echo <secret> <secret>",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}
