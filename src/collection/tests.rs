//! What a panic in the middle of a collection does and lets out, and what a hang does.

use std::process::Command;

use futures_util::future::{self, BoxFuture};
use http::Response;
use prometheus::Registry;

use super::*;
use crate::cloud::Credential;
use crate::cloud::api::fixture;
use crate::cloud::credentials::{self, Provider, Unavailable, hanging::Disk};
use crate::cloud::scripted::{self, Scripted, failure, success};
use crate::collection::snapshot::Revision;
use crate::collectors::general_stat::GeneralStat;
use crate::collectors::license_general::LicenseGeneral;
use crate::collectors::license_list::LicenseList;
use crate::collectors::{Collector, Schedule};
use crate::config::{Config, Credentials, Environment, IdSource, SecretSource, StaticKey};
use crate::system::logging;
use crate::system::logging::fixture::CapturedLog;

/// Everything that holds a secret or refers to a secret, as a panic would show it.
fn everything_in_reach(credential: &Credential) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cwp.yml");
    let yaml = "api: {proxy_url: 'http://hunter2:hunter2@proxy'}
accounts: [{name: a, credentials: {type: static, secret_id: hunter2, secret_key_env: KEY}}]";
    std::fs::write(&file, yaml).unwrap();
    let environment = Environment::from([("KEY", "hunter2")]);
    let config = Config::load(Some(&file), &environment, &[]).unwrap();
    format!("{credential:?} {config:?} {environment:?}")
}

/// Not a test by itself: what the test below looks at from outside.
#[tokio::test]
#[ignore = "run by another test, for its log"]
async fn panicking_with_everything_in_reach() {
    logging::init(
        logging::LogFormat::Logfmt,
        logging::Threshold::Debug,
        scripted::clock(),
    );
    let credential = Credential::new(
        "AKIDtest".to_owned(),
        "hunter2".to_owned(),
        Some("hunter2".to_owned()),
    );
    let shown = everything_in_reach(&credential);
    let http = Scripted::with(move |sent, _| panic!("{sent:?} {shown}"));
    let registry = Registry::new();
    let api = Arc::new(fixture::client(&registry, http, 20, 64));
    let slot = slot();
    let collection = Collection::new(
        Arc::clone(&api),
        fixture::target_of(credential),
        "a".to_owned(),
        slot.clone(),
        api.instruments(LicenseGeneral.request().action),
        scripted::clock(),
    );
    let error = collection.run().await.unwrap_err();
    tracing::info!(%error, state = ?slot.load(), "the collection has failed");
}

#[test]
fn a_panic_is_a_failed_collection_and_its_message_holds_no_secret() {
    let test = "collection::tests::panicking_with_everything_in_reach";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    for part in [
        "the exporter panicked",
        "the exporter panicked while it read the answer; please report this",
        // The output has everything but the secrets.
        "x-tc-token",
        "AKIDtest",
        "proxy_url: Some(ProxyUrl(http://<secret>@proxy))",
    ] {
        assert!(
            said.to_lowercase().contains(&part.to_lowercase()),
            "{part}: {said}"
        );
    }
    assert!(!said.contains("hunter2"), "{said}");
}

fn slot() -> Slot {
    let schedule = Schedule::default();
    Slot::new(&LicenseGeneral, "a", schedule, &Revision::default())
}

/// A collection whose key is in a file on `disk`, and its slot.
fn with_key_on(disk: &Disk, http: Arc<Scripted>) -> (Collection, Slot) {
    let registry = Registry::new();
    let api = Arc::new(fixture::client(&registry, http, 20, 64));
    let slot = slot();
    let key = Credentials::Static(StaticKey {
        secret_id: IdSource::Literal("AKIDtest".to_owned()),
        secret_key: SecretSource::File("/hung/key".into()),
        token: None,
    });
    let target = Target {
        credentials: credentials::reading(disk.files(), &key),
        ..fixture::target("AKIDtest")
    };
    let collection = Collection::new(
        Arc::clone(&api),
        target,
        "a".to_owned(),
        slot.clone(),
        api.instruments(LicenseGeneral.request().action),
        scripted::clock(),
    );
    (collection, slot)
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_hangs_is_a_timeout_that_names_it_and_is_recovered_from() {
    let disk = Disk::default();
    let http = Scripted::new(|_| success(r#"{"LicenseCnt":7}"#));
    let (collection, slot) = with_key_on(&disk, http);
    for failures in 1..=2 {
        let collect = std::pin::pin!(collection.run());
        let hang = async {
            disk.until_hung(1);
            // A read that runs keeps the paused clock from moving on by itself.
            tokio::time::advance(Duration::from_secs(60)).await;
        };
        let (outcome, ()) = tokio::join!(collect, hang);
        let error = outcome.unwrap_err();
        assert_eq!(error.reason, Reason::Timeout);
        assert_eq!(
            error.to_string(),
            "given up after 60s of waiting for the file /hung/key"
        );
        assert!(error.remedy().contains("mount"), "{}", error.remedy());
        assert!(error.remedy_in_chinese().unwrap().contains("挂载点"));
        let state = slot.load();
        assert_eq!(state.failures, failures);
        assert!(!state.succeeded().unwrap());
    }
    disk.thaw();
    collection.run().await.unwrap();
    assert_eq!(slot.load().succeeded(), Some(true));
    assert_eq!(disk.begun(), 2, "the second collection began no read");
}

#[tokio::test(start_paused = true)]
async fn only_a_collector_that_can_be_switched_off_advises_it_where_it_is_not_allowed() {
    for (collector, code, advises) in [
        (
            &GeneralStat as &'static dyn Collector,
            "UnauthorizedOperation",
            true,
        ),
        (&GeneralStat, "AuthFailure.SignatureFailure", false),
        (&LicenseGeneral, "UnauthorizedOperation", false),
    ] {
        let registry = Registry::new();
        let http = Scripted::new(move |_| failure(code));
        let api = Arc::new(fixture::client(&registry, http, 20, 64));
        let schedule = Schedule::default();
        let collection = Collection::new(
            Arc::clone(&api),
            fixture::target("AKIDtest"),
            "a".to_owned(),
            Slot::new(collector, "a", schedule, &Revision::default()),
            api.instruments(collector.request().action),
            scripted::clock(),
        );
        let error = collection.run().await.unwrap_err();
        let switch = "`collectors: {general_stat: {enabled: false}}`";
        assert_eq!(
            error.remedy().contains(switch),
            advises,
            "{}",
            error.remedy()
        );
        assert!(error.remedy().starts_with(error.reason.remedy()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_is_so_until_it_is_collected_anew() {
    let disk = Disk::default();
    disk.thaw();
    let http = Scripted::new(|earlier| match earlier {
        0 => success(r#"{"Strange":1,"RequestId":"r-7"}"#),
        _ => success(r#"{"LicenseCnt":7}"#),
    });
    let (collection, slot) = with_key_on(&disk, http);
    slot.store(CollectorState {
        restored: true,
        ..CollectorState::default()
    });
    let error = collection.run().await.unwrap_err();
    assert_eq!(error.reason, Reason::Response);
    assert_eq!(
        error.message,
        "the answer has no documented field with a valid value"
    );
    assert_eq!(error.request_id.as_deref(), Some("r-7"));
    let state = slot.load();
    assert!(state.restored && state.last_success.is_none());
    assert!(state.drift.iter().any(|drift| drift.field == "Strange"));
    collection.run().await.unwrap();
    let state = slot.load();
    assert!(!state.restored);
    assert_eq!(state.last_success.as_ref().unwrap().requests, 1);
    assert_eq!(state.failures, 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_budget_and_all_requests() {
    let hanging = Scripted::hanging();
    let disk = Disk::default();
    disk.thaw();
    let (collection, _) = with_key_on(&disk, Arc::clone(&hanging));
    let started = Instant::now();
    let error = collection.run_within(Duration::from_secs(7)).await;
    assert_eq!(started.elapsed(), Duration::from_secs(7));
    let error = error.unwrap_err();
    assert_eq!(error.reason, Reason::Timeout);
    assert!(error.message.starts_with("no whole answer from"), "{error}");
    assert_eq!(hanging.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_an_account_is_asked_once_and_after_an_answer_again_with_retries() {
    let disk = Disk::default();
    disk.thaw();
    let http = Scripted::with(|_, earlier| match earlier {
        0..=3 => Box::pin(future::pending()),
        4 => Box::pin(future::ready(Ok(Response::new(failure("X").into())))),
        _ => Box::pin(future::ready(Ok(Response::new(
            failure("InternalError").into(),
        )))),
    });
    let (collection, _) = with_key_on(&disk, Arc::clone(&http));
    let mut asked = Vec::new();
    let mut reasons = Vec::new();
    for _ in 0..5 {
        let before = http.sent().len();
        reasons.push(collection.run().await.unwrap_err().reason);
        asked.push(http.sent().len() - before);
    }
    let (timeout, server) = (Reason::Timeout, Reason::Server);
    assert_eq!(reasons, [timeout, timeout, server, server, server]);
    assert_eq!(asked, [3, 1, 1, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn that_rows_are_not_shown_is_told_whenever_their_number_changes() {
    let log = CapturedLog::start();
    let rows = [3, 3, 2, 5, 5];
    let http = Scripted::new(move |earlier| {
        let row = |number| format!(r#"{{"ResourceId":"cwplic-{number}"}}"#);
        let list: Vec<String> = (0..rows[earlier]).map(row).collect();
        let (count, list) = (list.len(), list.join(","));
        success(&format!(r#"{{"TotalCount":{count},"List":[{list}]}}"#))
    });
    let api = Arc::new(fixture::client(&Registry::new(), http, 20, 64));
    let schedule = Schedule {
        max_rows: Some(2),
        ..Schedule::default()
    };
    let slot = Slot::new(&LicenseList, "a", schedule, &Revision::default());
    let collection = Collection::new(
        Arc::clone(&api),
        fixture::target("AKIDtest"),
        "a".to_owned(),
        slot.clone(),
        api.instruments(LicenseList.request().action),
        scripted::clock(),
    );
    for (rows, told) in rows.into_iter().zip([1, 1, 1, 2, 2]) {
        collection.run().await.unwrap();
        let state = slot.load();
        let success = state.last_success.as_ref().unwrap();
        assert_eq!(success.rows_hidden, Some(rows - 2));
        assert_eq!(log.lines().len(), told, "{rows}");
    }
    let log = log.lines();
    assert!(
        log[0].contains("max_rows=2") && log[0].contains("hidden=1"),
        "{log:?}"
    );
}

/// A source without a key, which may not be asked and says what to do.
struct Forbidden;

impl Provider for Forbidden {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        let error = Error::new(Reason::Permission, "no");
        let error = error.with_remedy(Remedy::new("ask", "询问"));
        Box::pin(future::ready(Err(Unavailable::Broken(error))))
    }

    fn current(&self) -> Option<Arc<Credential>> {
        None
    }

    fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
        Box::pin(future::ready(()))
    }

    fn source(&self) -> String {
        "a test".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_a_remedy_of_its_own_keeps_the_remedy() {
    let api = fixture::client(&Registry::new(), Scripted::hanging(), 20, 64);
    let instruments = api.instruments(GeneralStat.request().action);
    let target = Target {
        credentials: Arc::new(Forbidden),
        ..fixture::target("AKIDtest")
    };
    let slot = Slot::new(&GeneralStat, "a", Schedule::default(), &Revision::default());
    let name = "a".to_owned();
    let collection = Collection::new(
        Arc::new(api),
        target,
        name,
        slot,
        instruments,
        scripted::clock(),
    );
    let error = collection.run().await.unwrap_err();
    assert_eq!(error.remedy(), "ask");
}

/// A key whose source fails again and again, while the key stays in use.
struct Failing(Arc<dyn Provider>);

impl Provider for Failing {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        self.0.credential()
    }

    fn current(&self) -> Option<Arc<Credential>> {
        self.0.current()
    }

    fn renew<'a>(&'a self, rejected: &'a Credential) -> BoxFuture<'a, ()> {
        self.0.renew(rejected)
    }

    fn take_notice(&self) -> Option<Error> {
        Some(Error::new(Reason::Credentials, "cannot read /run/key"))
    }

    fn source(&self) -> String {
        self.0.source()
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_source_fails_again_and_again_is_told_once_in_ten_minutes() {
    let log = CapturedLog::start();
    let registry = Registry::new();
    let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
    let api = Arc::new(fixture::client(&registry, http, 20, 64));
    let credential = Credential::new("AKIDtest".to_owned(), "hunter2".to_owned(), None);
    let mut target = fixture::target_of(credential);
    target.credentials = Arc::new(Failing(target.credentials));
    let collection = Collection::new(
        Arc::clone(&api),
        target,
        "a".to_owned(),
        slot(),
        api.instruments(LicenseGeneral.request().action),
        scripted::clock(),
    );
    for _ in 0..15 {
        collection.run().await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let told = log.lines();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.contains("/run/key"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|line| line.contains("account=\"a\"")),
        "{told:?}"
    );
    assert!(told[1].contains("hidden=9"), "{told:?}");
}
