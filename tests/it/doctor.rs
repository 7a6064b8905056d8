//! `doctor`: its findings and remedies, and the secrets that it does not show.

mod key;
mod route;

use std::process::{Output, Stdio};

use cwp_exporter::collectors;
use cwp_exporter::commands::doctor::Policy;
use cwp_exporter::simulator::Answer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Cloud, LICENSES_ALONE, config_for, program, run, within};

/// Every step of an account, in order.
const STEPS: [&str; 8] = [
    "credentials",
    "dns",
    "tcp",
    "tls",
    "clock",
    "signature",
    "permission",
    "answer",
];

/// The output of `doctor` for one configuration, as text and as JSON.
pub(crate) struct Diagnosis {
    pub(crate) text: String,
    pub(crate) json: Value,
    code: Option<i32>,
}

impl Diagnosis {
    /// Runs the command with text and with JSON; both must agree, and log nothing.
    pub(crate) async fn of(config: &str, variables: &[(&str, &str)]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let file = format!("--config.file={}", file.path().display());
        let text = run(&[&file, "doctor"], variables).await;
        let json = run(&[&file, "doctor", "--json"], variables).await;
        assert_eq!(text.status, json.status);
        // No remedy is to run `doctor`, which has just run.
        for output in [&text, &json] {
            let said = utf8(&output.stdout);
            assert!(!said.contains("cwp-exporter doctor"), "{said}");
        }
        let quiet = |output: &Output| assert_eq!(utf8(&output.stderr), "");
        quiet(&text);
        quiet(&json);
        Self {
            text: utf8(&text.stdout).to_owned(),
            json: serde_json::from_slice(&json.stdout).unwrap(),
            code: text.status.code(),
        }
    }

    /// The output for the account `a0` alone, whose key is in the variable `KEY`.
    async fn of_endpoint(endpoint: &str, api: &str) -> Self {
        let config = format!(
            "{LICENSES_ALONE}poll: {{timeout: 2s}}\napi: {{endpoint: '{endpoint}'{api}}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY}}}}]"
        );
        Self::of(&config, &[("KEY", "key-a0")]).await
    }

    /// The output for the accounts of [`Cloud::with_accounts`], with timeouts for a busy
    /// machine.
    async fn of_cloud(cloud: &Cloud, count: usize) -> Self {
        Self::of_cloud_with(cloud, count, "{interval: 10s, timeout: 10s, max_age: 20s}").await
    }

    /// The same, polled in this way.
    async fn of_cloud_with(cloud: &Cloud, count: usize, poll: &str) -> Self {
        let (config, variables) = config_for(cloud, count);
        let (_, rest) = config.split_once("\napi:").unwrap();
        let config = format!("{LICENSES_ALONE}poll: {poll}\napi:{rest}");
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Self::of(&config, &variables).await
    }

    fn step(&self, account: usize, name: &str) -> &Value {
        let steps = self.json["accounts"][account]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == name).unwrap()
    }

    /// Asserts that these steps of the first account failed, in the text and in the JSON.
    fn assert_failed(&self, expected: &[&str]) {
        let steps = self.json["accounts"][0]["steps"].as_array().unwrap();
        let names: Vec<&str> = steps
            .iter()
            .map(|step| step["step"].as_str().unwrap())
            .collect();
        assert_eq!(names, STEPS);
        let failed = steps.iter().filter(|step| step["status"] == "failed");
        let failed: Vec<&Value> = failed.collect();
        let names: Vec<&str> = failed
            .iter()
            .map(|step| step["step"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{:#}", self.json);
        assert_eq!(self.code, Some(1));
        assert_eq!(self.json["ok"], false);
        assert_eq!(self.json["accounts"][0]["ok"], false);
        assert!(self.text.contains("a0: FAILED ("), "{}", self.text);
        for step in failed {
            let remedy = step["remedy"].as_str().unwrap();
            assert!(self.text.contains(&remedy[1..]), "{}", self.text);
        }
    }

    /// That the step of the first account has all these words.
    fn assert_detail(&self, name: &str, words: &[&str]) {
        let detail = self.step(0, name)["detail"].as_str().unwrap();
        for word in words {
            assert!(detail.contains(word), "no `{word}` in `{detail}`");
        }
    }
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A cloud of the account `a0`, with these settings for it and for the whole.
async fn cloud_of_one(account: &str, whole: &str) -> Cloud {
    let account = format!("{{name: a0, secret_id: AKIDa0, secret_key: key-a0{account}}}");
    Cloud::start(&format!("{whole}\naccounts: [{account}]")).await
}

#[tokio::test]
async fn an_account_without_a_failed_step_has_one_line() {
    let cloud = Cloud::with_accounts(3).await;
    let found = Diagnosis::of_cloud(&cloud, 3).await;
    assert_eq!(found.code, Some(0));
    let lines: Vec<&str> = found.text.lines().collect();
    assert_eq!(lines.len(), 3 + 1, "{}", found.text);
    let mut accounts = lines[..3].to_vec();
    // Each account is printed as soon as it was examined.
    accounts.sort_unstable();
    for (number, line) in accounts.iter().enumerate() {
        let start = format!(
            "a{number}: ok ({}, the configured key AKIDa{number}…, 25 values, clock ",
            cloud.url
        );
        assert!(line.starts_with(&start), "{line}");
    }
    assert_eq!(lines[3], "3 accounts, 0 failed, 25920 requests a day");
    let steps = found.json["accounts"][2]["steps"].as_array().unwrap();
    let bad = steps.iter().filter(|step| step["status"] == "failed");
    assert_eq!(bad.count(), 0);
    assert_eq!(cloud.handle.received().len(), 6, "one request each time");
}

#[tokio::test]
async fn settings_that_are_likely_not_meant_are_named() {
    let cloud = Cloud::with_accounts(1).await;
    let poll = "{interval: 10s, timeout: 10s, max_age: 10s}";
    let found = Diagnosis::of_cloud_with(&cloud, 1, poll).await;
    assert_eq!(found.code, Some(0));
    assert!(found.text.starts_with("configuration: poll.max_age (10s)"));
    let warnings = found.json["configuration"]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_a_failure_with_all_its_problems() {
    let config = "poll: {intervall: 1s}\naccounts: [{name: a0, credentials: {type: static, secret_id: AKIDa0, secret_key_file: nowhere.key}}]";
    let found = Diagnosis::of(config, &[]).await;
    assert_eq!(found.code, Some(1));
    assert_eq!(found.json["ok"], false);
    assert_eq!(found.json["configuration"]["status"], "failed");
    let problems = found.json["configuration"]["problems"].as_array().unwrap();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem["key"].as_str().unwrap())
        .collect();
    let expected = ["poll.intervall", "accounts[0].credentials.secret_key_file"];
    assert_eq!(keys, expected);
    for problem in problems {
        for part in ["place", "key", "detail"] {
            let part = problem[part].as_str().unwrap();
            assert!(!part.is_empty() && found.text.contains(part), "{part}");
        }
        assert!(!problem["remedy"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_failure_of_the_clock_and_the_signature() {
    let cloud = cloud_of_one("", "clock_offset: 10m").await;
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    found.assert_failed(&["clock", "signature"]);
    found.assert_detail("clock", &["s behind the API"]);
    let signature = found.step(0, "signature");
    assert_eq!(signature["code"], "AuthFailure.SignatureExpire");
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_is_a_warning() {
    let cloud = cloud_of_one("", "clock_offset: -1m").await;
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    assert_eq!(found.code, Some(0));
    found.assert_detail("clock", &["s ahead of the API"]);
    assert!(
        found
            .text
            .contains("  clock         warning  this machine is ")
    );
    assert!(found.text.contains("Set this machine's clock (NTP)"));
}

#[tokio::test]
async fn a_wrong_key_is_a_failure_of_the_signature_with_code_and_request_id() {
    let cloud = Cloud::with_accounts(1).await;
    cloud.handle.set_secret("a0", "another", None).unwrap();
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    found.assert_failed(&["signature"]);
    let signature = found.step(0, "signature");
    assert_eq!(signature["code"], "AuthFailure.SignatureFailure");
    assert_eq!(signature["collector"], "license_general");
    let request_id = signature["request_id"].as_str().unwrap();
    assert!(!request_id.is_empty());
    assert!(found.text.contains("AuthFailure.SignatureFailure: "));
    assert!(found.text.contains(" (license_general, RequestId "));
    assert_eq!(found.step(0, "permission")["status"], "skipped");
    assert_eq!(found.json["policy"], Value::Null);
}

#[tokio::test]
async fn a_lack_of_permission_comes_with_the_policy_to_attach() {
    let cloud = cloud_of_one(", allow: []", "").await;
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    found.assert_failed(&["permission"]);
    let code = found.step(0, "permission")["code"].as_str().unwrap();
    assert!(code.contains("UnauthorizedOperation"), "{code}");
    let licences = collectors::all().first().copied();
    let policy = Policy::of(licences);
    assert_eq!(found.json["policy"], serde_json::to_value(&policy).unwrap());
    assert!(found.text.contains(&policy.to_string()), "{}", found.text);
}

#[tokio::test]
async fn an_answer_without_a_documented_field_is_a_failure_of_the_answer() {
    let cloud = cloud_of_one(", fields: {Unheard: 1}", "").await;
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    found.assert_failed(&["answer"]);
    assert!(found.step(0, "answer")["request_id"].is_string());
    found.assert_detail("permission", &["cwp:DescribeLicenseGeneral is allowed"]);
}

#[tokio::test]
async fn an_answer_that_differs_from_its_document_passes_and_the_difference_is_named() {
    let cloud = cloud_of_one(", fields: {LicenseCnt: 1, Unheard: 1}", "").await;
    let found = Diagnosis::of_cloud(&cloud, 1).await;
    assert_eq!(found.code, Some(0));
    let expected = [
        "1 value; not as documented: ",
        "Unheard unknown",
        "UsedLicenseCnt missing",
    ];
    found.assert_detail("answer", &expected);
}

#[tokio::test]
async fn an_api_that_hangs_is_a_failure_of_the_answer_within_the_timeout() {
    let cloud = Cloud::with_accounts(1).await;
    cloud.handle.play("a0", Answer::Hang).unwrap();
    let found = Diagnosis::of_cloud_with(&cloud, 1, "{timeout: 500ms}").await;
    found.assert_failed(&["answer"]);
    found.assert_detail("answer", &["within 500ms"]);
}

#[tokio::test]
async fn of_several_accounts_only_those_with_a_failure_show_their_steps() {
    let cloud = Cloud::with_accounts(3).await;
    cloud.handle.set_secret("a1", "another", None).unwrap();
    let found = Diagnosis::of_cloud(&cloud, 3).await;
    assert_eq!(found.code, Some(1));
    let oks: Vec<&Value> = found.json["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| &account["ok"])
        .collect();
    assert_eq!(oks, [true, false, true]);
    let heads = found.text.lines().filter(|line| line.starts_with('a'));
    let mut heads: Vec<&str> = heads.map(|line| line.split(" (").next().unwrap()).collect();
    heads.sort_unstable();
    assert_eq!(heads, ["a0: ok", "a1: FAILED", "a2: ok"]);
    let steps = found.text.lines().filter(|line| line.starts_with("  "));
    let steps = steps.filter_map(|line| line.split_whitespace().next());
    let steps = steps.filter(|word| STEPS.contains(word));
    assert_eq!(steps.collect::<Vec<_>>(), STEPS, "{}", found.text);
}

/// A configuration of accounts, each with the key of the simulated account `a0`.
fn accounts_of_one_key(cloud: &Cloud, accounts: &[(&str, &str)]) -> String {
    let accounts = accounts.iter().map(|(name, more)| {
        format!("  - {{name: {name}{more}, credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY}}}}\n")
    });
    let accounts: String = accounts.collect();
    format!(
        "{LICENSES_ALONE}poll: {{interval: 10m, timeout: 60s}}\napi: {{endpoint: '{}'}}\naccounts:\n{accounts}",
        cloud.url
    )
}

#[tokio::test]
async fn an_account_is_printed_as_soon_as_it_was_examined() {
    let cloud = Cloud::start(
        "accounts:
  - {name: a0, secret_id: AKIDa0, secret_key: key}
  - {name: a1, secret_id: AKIDa1, secret_key: key, timeline: [{at: 0s, hang: true}]}",
    )
    .await;
    let config = accounts_of_one_key(&cloud, &[("stuck", ""), ("quick", "")]);
    let config = config.replacen("AKIDa0", "AKIDa1", 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let file = format!("--config.file={}", file.path().display());
    let mut doctor = program(&[&file, "doctor"], &[("KEY", "key")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(doctor.stdout.take().unwrap()).lines();
    // The other account ends after a minute only.
    let first = within("the first account", lines.next_line()).await;
    let first = first.unwrap().unwrap();
    assert!(first.starts_with("quick: ok ("), "{first}");
    assert!(doctor.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn accounts_with_the_same_key_endpoint_and_region_share_one_request() {
    let cloud = Cloud::start("accounts: [{name: a0, secret_id: AKIDa0, secret_key: key}]").await;
    let accounts = [
        ("first", ""),
        ("elsewhere", ", region: ap-guangzhou"),
        ("second", ""),
        ("third", ", labels: {team: red}"),
    ];
    let config = accounts_of_one_key(&cloud, &accounts);
    let found = Diagnosis::of(&config, &[("KEY", "key")]).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    let names = found.json["accounts"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|one| one["account"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "elsewhere", "second", "third"]);
    for name in names {
        assert!(
            found.text.contains(&format!("{name}: ok (")),
            "{}",
            found.text
        );
    }
    assert!(
        found
            .text
            .ends_with("4 accounts, 0 failed, 576 requests a day\n")
    );
    // Two each time, as text and as JSON.
    assert_eq!(cloud.handle.received().len(), 4);
}

#[tokio::test]
async fn wrong_usage_exits_with_2() {
    let output = run(&["doctor", "--no-such-flag"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
}
