//! Reloads, on a scripted network.

mod roles;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use http::Response;
use tokio::time::Instant;

use super::*;
use crate::cloud::scripted::{self, Scripted, success};
use crate::collectors;

/// A fleet over a scripted network, and its scheduler.
struct RunningFleet {
    fleet: Fleet,
    scheduler: Scheduler,
    http: Arc<Scripted>,
    started: Instant,
}

fn environment() -> Environment {
    Environment::from([("KEY", "key"), ("OTHER", "other")])
}

fn config(yaml: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::load(Some(file.path()), &environment(), &[]).unwrap()
}

/// Settings, and an account of a minute's interval for each name.
fn accounts(names: &[&str]) -> String {
    let accounts: String = names
        .iter()
        .map(|name| format!("  - {{name: {name}, credentials: {{type: static, secret_id: {name}, secret_key_env: KEY}}}}\n"))
        .collect();
    format!("accounts:\n{accounts}")
}

impl RunningFleet {
    fn start(yaml: &str) -> Self {
        Self::over(Scripted::new(|_| success(r#"{"LicenseCnt":1}"#)), yaml)
    }

    fn over(http: Arc<Scripted>, yaml: &str) -> Self {
        let network = Arc::clone(&http);
        let registry = Registry::new();
        let clock = scripted::clock();
        let config = config(yaml);
        let fleet = Fleet::on(
            network,
            collectors::all(),
            &config,
            &environment(),
            &clock,
            &registry,
        );
        let mut running = Self {
            fleet: fleet.unwrap(),
            scheduler: Scheduler::new(0.0),
            http,
            started: Instant::now(),
        };
        running.fleet.schedule(&running.scheduler);
        running
    }

    fn apply(&mut self, yaml: &str) -> Changes {
        let changes = self.fleet.apply(&config(yaml), None);
        self.fleet.schedule(&self.scheduler);
        changes
    }

    /// Waits until `second` since the start.
    async fn until(&self, second: u64) {
        tokio::time::sleep_until(self.started + Duration::from_secs(second)).await;
    }

    /// When the account `name` was asked, in seconds since the start.
    fn asked(&self, name: &str) -> Vec<u64> {
        let sent = self.http.sent();
        let sent = sent.iter().filter(|sent| sent.is_from(name));
        sent.map(|sent| (sent.at - self.started).as_secs())
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let accounts = self.fleet.store().load();
        let accounts = accounts.list().iter();
        accounts.map(|account| account.name.clone()).collect()
    }

    fn has_values(&self, name: &str) -> bool {
        let accounts = self.fleet.store().load();
        let account = accounts.list().iter().find(|account| account.name == name);
        account.unwrap().slots[0].load().last_success.is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_account_keeps_its_values_and_its_schedule() {
    let mut running = RunningFleet::start(&accounts(&["a", "b"]));
    running.until(45).await;
    let changes = running.apply(&accounts(&["a", "b", "c"]));
    let expected = Changes {
        added: 1,
        kept: 2,
        ..Changes::default()
    };
    assert_eq!(changes, expected);
    assert!(running.has_values("a") && running.has_values("b"));
    running.until(165).await;
    assert_eq!(running.asked("a"), [0, 60, 120]);
    assert_eq!(running.asked("b"), [0, 30, 90, 150]);
    assert_eq!(
        running.asked("c"),
        [45, 85, 145],
        "soon, then last of three"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_the_key_of_an_account_is_told() {
    let running = RunningFleet::start(&accounts(&["AKIDa"]));
    running.until(30).await;
    let accounts = running.fleet.store().load();
    let key = &accounts.list()[0].key_source;
    assert_eq!(key.text(), "the configured key");
    assert_eq!(key.quota().as_deref(), Some("AKIDa"));
    assert_eq!(key.expires_at(), None);
    assert_eq!(key.spent("DescribeLicenseGeneral"), 1);
    assert_eq!(key.spent("DescribeLicenseList"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_added_after_other_settings_shares_the_key_of_its_role() {
    let http = Scripted::with(|sent, earlier| {
        let body = match sent.request.uri().host() {
            Some("sts.tencentcloudapi.com") => success(&format!(
                r#"{{"Credentials":{{"TmpSecretId":"AKID{earlier}","TmpSecretKey":"k","Token":"t"}},"ExpiredTime":1717207200}}"#
            )),
            _ => success(r#"{"LicenseCnt":1}"#),
        };
        Box::pin(future::ready(Ok(Response::new(Bytes::from(body)))))
    });
    let role = "{type: assume_role, role_arn: 'qcs::cam::uin/1:roleName/R', source: \
                {type: static, secret_id: hub, secret_key_env: KEY}}";
    let yaml = |settings: &str, names: &[&str]| {
        let accounts = names.iter();
        let accounts = accounts.map(|name| format!("- {{name: {name}, credentials: {role}}}\n"));
        format!("{settings}\naccounts:\n{}", accounts.collect::<String>())
    };
    let mut running = RunningFleet::over(http, &yaml("", &["a"]));
    running.until(30).await;
    assert_eq!(
        running.apply(&yaml("poll: {timeout: 5s}", &["a"])).changed,
        1
    );
    running.until(60).await;
    let changes = running.apply(&yaml("poll: {timeout: 5s}", &["a", "b"]));
    assert_eq!((changes.added, changes.kept), (1, 1));
    running.until(300).await;
    // The second key is that of the second configuration.
    assert_eq!(running.asked("hub"), [0, 30]);
    assert_eq!(running.asked("AKID0"), [0]);
    let of_both = running.asked("AKID2");
    assert!(of_both.len() >= 8, "{of_both:?}");
}

#[tokio::test]
async fn a_fleet_has_a_network_to_reconfigure_unless_the_network_is_scripted() {
    let (clock, config) = (scripted::clock(), config(&accounts(&["a"])));
    let registry = Registry::new();
    let fleet = Fleet::new(
        collectors::all(),
        &config,
        &environment(),
        &clock,
        &registry,
    );
    assert!(fleet.unwrap().network().is_some());
    let again = Fleet::new(
        collectors::all(),
        &config,
        &environment(),
        &clock,
        &registry,
    );
    let error = again.err().unwrap().to_string();
    assert!(
        error.starts_with("cannot register the metrics: "),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_a_day_are_those_of_all_accounts() {
    let running = RunningFleet::start(&accounts(&["a", "b"]));
    assert_eq!(running.fleet.requests_per_day(), 2 * 24 * 60);
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_is_gone_at_once_and_asked_no_more() {
    let mut running = RunningFleet::start(&accounts(&["a", "b"]));
    running.until(45).await;
    assert_eq!(running.apply(&accounts(&["b"])).removed, 1);
    assert_eq!(running.names(), ["b"]);
    running.until(165).await;
    assert_eq!(running.asked("a"), [0]);
    assert_eq!(running.asked("b"), [0, 30, 90, 150]);
}

#[tokio::test(start_paused = true)]
async fn another_key_or_endpoint_makes_it_another_account() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    assert!(running.has_values("a"));
    let other_key = accounts(&["a"]).replace("KEY", "OTHER");
    assert_eq!(running.apply(&other_key).added, 1);
    assert!(!running.has_values("a"), "whose values would these be?");
    let elsewhere = other_key.replace("name: a,", "name: a, endpoint: 'https://cwp.example',");
    assert_eq!(running.apply(&elsewhere).added, 1);
    let region = elsewhere.replace("name: a,", "name: a, region: ap-guangzhou,");
    assert_eq!(running.apply(&region).added, 1);
    assert_eq!(running.apply(&region).kept, 1);
}

#[tokio::test(start_paused = true)]
async fn other_labels_leave_values_and_schedule_alone() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    let labelled = accounts(&["a"]).replace("name: a,", "name: a, labels: {team: x},");
    assert_eq!(running.apply(&labelled).changed, 1);
    assert!(running.has_values("a"));
    let store = running.fleet.store().load();
    assert_eq!(store.list()[0].labels["team"], "x");
    running.until(165).await;
    assert_eq!(running.asked("a"), [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn another_interval_starts_a_new_schedule_but_keeps_the_values() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    let faster = format!("poll: {{interval: 10s}}\n{}", accounts(&["a"]));
    assert_eq!(running.apply(&faster).changed, 1);
    assert!(running.has_values("a"));
    running.until(70).await;
    assert_eq!(running.asked("a"), [0, 45, 55, 65]);
}

#[tokio::test(start_paused = true)]
async fn another_rate_limit_holds_at_once_for_accounts_that_keep_their_values() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    let slower = format!("api: {{rate_limit: 5}}\n{}", accounts(&["a"]));
    assert_eq!(running.apply(&slower).changed, 1);
    assert!(running.has_values("a"));
    assert_eq!(running.apply(&slower).kept, 1);
    running.until(80).await;
    let accounts = running.fleet.store().load();
    let key = &accounts.list()[0].key_source;
    assert_eq!(key.spent("DescribeLicenseGeneral"), 1, "since the change");
}

#[tokio::test(start_paused = true)]
async fn another_proxy_and_other_certificates_are_a_matter_of_the_network_alone() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    let names = ["localhost".to_owned()];
    let certificate = rcgen::generate_simple_self_signed(names).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.cert.pem()).unwrap();
    for setting in [
        "proxy_url: 'http://proxy.example'".to_owned(),
        format!("ca_file: '{}'", file.path().display()),
    ] {
        let yaml = format!("api: {{{setting}}}\n{}", accounts(&["a"]));
        assert_eq!(running.apply(&yaml).kept, 1, "{setting}");
    }
    running.until(165).await;
    assert_eq!(running.asked("a"), [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn another_max_age_holds_at_once_and_changes_nothing_else() {
    let mut running = RunningFleet::start(&accounts(&["a"]));
    running.until(45).await;
    let shorter = format!("poll: {{max_age: 2m}}\n{}", accounts(&["a"]));
    assert_eq!(running.apply(&shorter).kept, 1);
    let accounts = running.fleet.store().load();
    let max_age = accounts.list()[0].slots[0].schedule().max_age;
    assert_eq!(max_age, Duration::from_secs(120));
    running.until(165).await;
    assert_eq!(running.asked("a"), [0, 60, 120]);
}
