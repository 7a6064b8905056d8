//! Every place that keys come from, over real sockets, through expiry and rotation.

use std::path::{Path, PathBuf};

use crate::harness::{Cloud, LICENSES_ALONE, Program, Scrape, client, eventually, run};

const ARN: &str = "qcs::cam::uin/100000000001:roleName/CwpExporter";

/// Keys that live for seconds, and two permanent ones.
const SCENARIO: &str = "
sts: {lifetime: 6s}
metadata: {account: prod, lifetime: 6s}
accounts:
  - {name: ops, secret_id: AKIDops, secret_key: s3cret-ops}
  - {name: next, secret_id: AKIDnext, secret_key: s3cret-next}
  - name: prod
    role: {arn: 'qcs::cam::uin/100000000001:roleName/CwpExporter', external_id: s3cret-external, trusts: [ops]}
    web_identity: {provider: tke, token: s3cret.web.first}
";

const TEMPORARY: [&str; 3] = ["cvm_role", "tke_oidc", "assume_role"];
const PERMANENT: [&str; 4] = ["static", "profile", "tccli", "env"];

/// Everything that can be looked at.
const PAGES: [&str; 8] = [
    "/",
    "/-/ready",
    "/api/v1/status?per_page=1000",
    "/config",
    "/metrics",
    "/none?q=s3cre",
    "/probe?target=static",
    "/sd",
];

/// A folder with all the files that keys come from.
struct Places {
    cloud: Cloud,
    folder: tempfile::TempDir,
}

impl Places {
    async fn new() -> Self {
        let places = Self {
            cloud: Cloud::start(SCENARIO).await,
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["home/.tccli", "home/.tencentcloud", "state"] {
            std::fs::create_dir_all(places.path(folder)).unwrap();
        }
        places.write_key("AKIDops", "s3cret-ops");
        places.write("web-token", "s3cret.web.first");
        places.write("external-id", "s3cret-external");
        places
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as careful operators do, in one step.
    fn write(&self, name: &str, text: &str) {
        let fresh = self.path("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.path(name)).unwrap();
    }

    /// Puts a permanent key into every file that holds one.
    fn write_key(&self, id: &str, key: &str) {
        self.write("key", key);
        self.write("id", id);
        let profile = format!("[default]\nsecret_id = {id}\nsecret_key = {key}\n");
        self.write("home/.tencentcloud/credentials", &profile);
        let tccli = format!(r#"{{"secretId": "{id}", "secretKey": "{key}"}}"#);
        self.write("home/.tccli/default.credential", &tccli);
    }

    fn config(&self, accounts: &str) -> PathBuf {
        let url = &self.cloud.url;
        let config = format!(
            "{LICENSES_ALONE}poll: {{interval: 2s, timeout: 1900ms}}
api: {{endpoint: '{url}', sts_endpoint: '{url}', metadata_endpoint: '{url}', rate_limit: 100, proxy_url: 'http://s3cret-me:s3cret-too@127.0.0.1:9'}}
accounts:
{accounts}"
        );
        self.write("cwp.yml", &config);
        self.path("cwp.yml")
    }

    /// An account of each type but the chain.
    fn every_type(&self) -> PathBuf {
        self.config(&format!(
            "
- {{name: static, credentials: {{type: static, secret_id_file: id, secret_key_file: key}}}}
- {{name: profile, credentials: {{type: profile}}}}
- {{name: tccli, credentials: {{type: tccli}}}}
- {{name: env, credentials: {{type: env}}}}
- {{name: cvm_role, credentials: {{type: cvm_role}}}}
- {{name: tke_oidc, credentials: {{type: tke_oidc}}}}
- name: assume_role
  credentials: {{type: assume_role, role_arn: '{ARN}', external_id_file: external-id, source: {{type: static, secret_id: AKIDops, secret_key_env: KEY}}}}
"
        ))
    }

    /// What the environment must have for all of these.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.path(name).display().to_string();
        vec![
            ("HOME", path("home")),
            ("KEY", "s3cret-ops".to_owned()),
            ("TENCENTCLOUD_SECRET_ID", "AKIDops".to_owned()),
            ("TENCENTCLOUD_SECRET_KEY", "s3cret-ops".to_owned()),
            ("TKE_REGION", "ap-guangzhou".to_owned()),
            ("TKE_PROVIDER_ID", "tke".to_owned()),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", path("web-token")),
            ("TKE_ROLE_ARN", ARN.to_owned()),
        ]
    }

    /// Makes every key, token and external id a wrong one; returns the variables for that.
    fn spoil(&self) -> Vec<(&'static str, String)> {
        self.write_key("AKIDops", "s3cret-wrong");
        self.write("web-token", "s3cret.web.wrong");
        self.write("external-id", "s3cret-wrong");
        let body = r#"{"Code":"s3cret-Failed","TmpSecretKey":"s3cret-half"}"#;
        let answer = cwp_exporter::simulator::Answer::Body(body.to_owned());
        self.cloud.handle.play_metadata(Some(answer));
        let mut variables = self.variables();
        for (name, value) in &mut variables {
            if name.ends_with("KEY") {
                "s3cret-wrong".clone_into(value);
            }
        }
        variables
    }

    fn start(&self, config: &Path, variables: &[(&'static str, String)]) -> Program {
        let state = self.path("state");
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Program::start(
            &[
                "--config.file",
                config.to_str().unwrap(),
                "--state.dir",
                state.to_str().unwrap(),
                "--log.level=debug",
                "--web.listen-address=127.0.0.1:0",
            ],
            &variables,
        )
    }
}

async fn page(url: &str, path: &str) -> String {
    let page = client().get(format!("{url}{path}")).send().await.unwrap();
    page.text().await.unwrap()
}

fn failures(scrape: &Scrape, account: &str) -> Option<f64> {
    scrape.value(&format!(
        "cwp_exporter_collector_failures_total{{account=\"{account}\",collector=\"license_general\"}}"
    ))
}

fn expiry(scrape: &Scrape, account: &str) -> Option<f64> {
    scrape.value(&format!(
        "cwp_exporter_credential_expiry_timestamp_seconds{{account=\"{account}\"}}"
    ))
}

/// Scrapes until `condition` holds, and returns the scrape in which it did.
async fn until(url: &str, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
    let look = async || Some(Scrape::parse(&page(url, "/metrics").await)).filter(&condition);
    eventually(what, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_lives_through_expiry_rotation_and_revocation_without_a_failed_collection() {
    let places = Places::new().await;
    let handle = &places.cloud.handle;
    let mut program = places.start(&places.every_type(), &places.variables());
    let url = program.url().await;
    let all = || TEMPORARY.iter().chain(&PERMANENT);
    let first = until(&url, "all accounts", |scrape| {
        all().all(|account| scrape.succeeded(account) == Some(true))
    })
    .await;
    for account in TEMPORARY {
        assert!(expiry(&first, account).is_some(), "{account}");
    }
    for account in PERMANENT {
        assert_eq!(expiry(&first, account), None, "{account}");
    }

    // Another permanent key, while the old one still holds, and another web token.
    places.write_key("AKIDnext", "s3cret-next");
    handle
        .set_web_identity("prod", "s3cret.web.second")
        .unwrap();
    places.write("web-token", "s3cret.web.second");
    until(&url, "keys to expire and be renewed", |scrape| {
        TEMPORARY.iter().all(|account| {
            let later = expiry(&first, account).map(|at| at + 8.0);
            expiry(scrape, account) > later
        })
    })
    .await;
    let asked = handle.received().len();
    handle.revoke("prod").unwrap();
    eventually("collections after the revocation", async || {
        (handle.received().len() >= asked + 20).then_some(())
    })
    .await;

    let last = Scrape::parse(&page(&url, "/metrics").await);
    for account in all() {
        assert_eq!(failures(&last, account), Some(0.0), "{account}");
        assert_eq!(last.licence_series(account).len(), 25, "{account}");
    }
    let next = handle.received().into_iter();
    let next = next.filter(|request| request.account.as_deref() == Some("next"));
    assert!(next.count() > 3, "the new permanent key was used");

    // None of the secrets, in their parts too, may be anywhere.
    for path in PAGES {
        let text = page(&url, path).await;
        assert!(!text.contains("s3cret"), "{path}");
    }
    program.signal("TERM").await;
    assert!(program.ended().await.success());
    let log = program.log().join("\n");
    assert!(!log.contains("s3cret"), "{log}");
    let state = std::fs::read_to_string(places.path("state/snapshots.json")).unwrap();
    assert!(state.contains("assume_role") && !state.contains("s3cret"));
}

#[tokio::test]
async fn the_chain_takes_the_first_place_that_has_a_key() {
    let places = Places::new().await;
    let config = places.config("- {name: chain}\n");
    let config = ["--config.file", config.to_str().unwrap(), "once"];
    let home = places.path("home").display().to_string();
    let all = places.variables();
    let tke = all.iter().filter(|(name, _)| name.starts_with("TKE_"));
    let tke: Vec<_> = tke.map(|(name, value)| (*name, value.as_str())).collect();
    let environment = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDnext"),
        ("TENCENTCLOUD_SECRET_KEY", "s3cret-next"),
        ("HOME", home.as_str()),
    ];
    // The environment before the profile before the instance's role.
    for (variables, account) in [
        (&environment[..], "next"),
        (&environment[2..], "ops"),
        (&tke[..], "prod"),
    ] {
        let before = places.cloud.handle.received().len();
        let output = run(&config, variables).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{account}: {stderr}");
        let received = places.cloud.handle.received();
        let asked = received[before..].iter();
        let mut asked =
            asked.filter(|request| request.action.as_deref() == Some("DescribeLicenseGeneral"));
        assert_eq!(asked.next().unwrap().account.as_deref(), Some(account));
    }
}

#[tokio::test]
async fn a_place_that_is_broken_stops_the_chain_with_its_own_error() {
    let places = Places::new().await;
    places.write(
        "home/.tencentcloud/credentials",
        "[default]\nsecret_id = AKIDops\n",
    );
    let config = places.config("- {name: chain}\n");
    let home = places.path("home").display().to_string();
    let arguments = ["--config.file", config.to_str().unwrap(), "once"];
    let output = run(&arguments, &[("HOME", &home)]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("reason=credentials"), "{stderr}");
    assert!(stderr.contains("secret_key"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

/// Runs every command, and lets the daemon collect; returns all that could be seen.
async fn everything_that_is_said(places: &Places, variables: &[(&'static str, String)]) -> String {
    let config = places.every_type();
    let borrowed: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut said = String::new();
    for command in [
        &["--config.check"][..],
        &["doctor"],
        &["doctor", "--json"],
        &["once"],
    ] {
        let mut arguments = vec![
            "--config.file",
            config.to_str().unwrap(),
            "--log.level=debug",
        ];
        arguments.extend(command);
        let output = run(&arguments, &borrowed).await;
        said += &String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    }
    let mut program = places.start(&config, variables);
    let url = program.url().await;
    let all = || TEMPORARY.iter().chain(&PERMANENT);
    until(&url, "all accounts", |scrape| {
        all().all(|account| scrape.succeeded(account).is_some())
    })
    .await;
    for path in PAGES {
        said += &page(&url, path).await;
    }
    // A configuration that holds secrets where none belong, and is refused.
    let refused = "accounts: [{name: a, credentials: {type: static, secret_key: s3cret-ops}}]\n\
        s3cret-key: s3cret-value\napi: {proxy_url: 's3cret-me@s3cret'}";
    std::fs::write(&config, refused).unwrap();
    program.signal("HUP").await;
    program.logged("configuration not reloaded").await;
    for path in PAGES {
        said += &page(&url, path).await;
    }
    program.signal("TERM").await;
    assert!(program.ended().await.success());
    said += &program.log().join("\n");
    for file in std::fs::read_dir(places.path("state")).unwrap() {
        said += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_page_or_file_says_a_secret_of_any_type_be_it_right_or_wrong() {
    let right = Places::new().await;
    let said = everything_that_is_said(&right, &right.variables()).await;
    assert!(said.contains("configuration is good: 7 accounts"), "{said}");
    assert!(said.contains("<secret>@127.0.0.1:9"), "{said}");
    assert!(said.contains("cwp_exporter_snapshots"), "{said}");
    assert_eq!(said.find("s3cret"), None, "{said}");

    let wrong = Places::new().await;
    let variables = wrong.spoil();
    let said = everything_that_is_said(&wrong, &variables).await;
    assert!(said.contains("reason=credentials"), "{said}");
    assert_eq!(said.find("s3cret"), None, "{said}");
}

#[tokio::test]
async fn wrong_keys_of_every_type_fail_as_credentials_and_are_not_shown() {
    let places = Places::new().await;
    let variables = places.spoil();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let config = places.every_type();
    let arguments = [
        "--config.file",
        config.to_str().unwrap(),
        "--log.level=debug",
        "once",
    ];
    let output = run(&arguments, &variables).await;
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let scrape = Scrape::parse(&stdout);
    for account in TEMPORARY.iter().chain(&PERMANENT) {
        // The metadata service does not refuse anything: it answers nonsense.
        let reason = match *account {
            "cvm_role" => "response",
            _ => "credentials",
        };
        assert_eq!(scrape.failure_reason(account), Some(reason), "{account}");
    }
    for text in [&stdout, &stderr] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

/// Two accounts, one of which has its key in the file `late`.
fn one_late_key(places: &Places) -> PathBuf {
    places.config(
        "
- {name: good, credentials: {type: static, secret_id_file: id, secret_key_file: key}}
- {name: late, credentials: {type: static, secret_id: AKIDnext, secret_key_file: late}}
",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_is_the_failure_of_its_account_until_it_appears() {
    let places = Places::new().await;
    let config = one_late_key(&places);
    let late = places.path("late").display().to_string();
    let check = ["--config.file", config.to_str().unwrap(), "--config.check"];
    let output = run(&check, &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&format!("the file {late} cannot be read")),
        "{stderr}"
    );

    let mut program = places.start(&config, &[]);
    let url = program.url().await;
    let apart = |scrape: &Scrape| {
        scrape.succeeded("good") == Some(true)
            && scrape.failure_reason("late") == Some("credentials")
    };
    until(&url, "one account to work and one to fail", apart).await;
    places.write("late", "s3cret-next\n");
    until(&url, "the file to be used", |scrape| {
        scrape.succeeded("late") == Some(true)
    })
    .await;
    assert_eq!(run(&check, &[]).await.status.code(), Some(0));

    // The same at a reload, for every file that an account depends on.
    places.config(
        "
- {name: good, credentials: {type: static, secret_id_file: id, secret_key_file: key}}
- {name: id, credentials: {type: static, secret_id_file: none, secret_key_file: key}}
- {name: token, credentials: {type: static, secret_id_file: id, secret_key_file: key, token_file: none}}
- {name: variable, credentials: {type: static, secret_id_file: id, secret_key_env: NONE}}
- {name: env, credentials: {type: env}}
- {name: profile, credentials: {type: profile, file: none}}
- {name: tccli, credentials: {type: tccli, profile: none}}
- {name: tke, credentials: {type: tke_oidc}}
- {name: external, credentials: {type: assume_role, role_arn: 'qcs::cam::uin/1:role/1', external_id_file: none, source: {type: static, secret_id_file: id, secret_key_file: key}}}
",
    );
    program.signal("HUP").await;
    program.logged("configuration reloaded").await;
    until(&url, "the accounts without a key to fail", |scrape| {
        let names = [
            "id", "token", "variable", "env", "profile", "tccli", "tke", "external",
        ];
        names
            .iter()
            .all(|name| scrape.failure_reason(name) == Some("credentials"))
            && scrape.succeeded("good") == Some(true)
    })
    .await;
    let output = run(&check, &[]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("8 problems"), "{stderr}");
    assert!(
        stderr.contains(places.path("none").to_str().unwrap()),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_key_of_somebody_else_is_refused() {
    let places = Places::new().await;
    let file = "home/.tccli/default.credential";
    let plain = r#"{"secretId": "AKIDops", "secretKey": "s3cret-ops"}"#;
    let with_role = r#"{"secretId": "AKIDops", "secretKey": "s3cret-ops", "role-arn": "qcs::cam::uin/1:role/1"}"#;
    let home = places.path("home").display().to_string();
    let role = ("TENCENTCLOUD_ROLE_ARN", "qcs::cam::uin/1:role/1");
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDops"),
        ("TENCENTCLOUD_SECRET_KEY", "s3cret-ops"),
    ];
    for (kind, text, variables, named) in [
        ("tccli", with_role, vec![], "`role-arn`"),
        // tccli itself would assume it.
        ("tccli", plain, vec![role], "TENCENTCLOUD_ROLE_ARN"),
        (
            "env",
            plain,
            vec![key[0], key[1], role],
            "TENCENTCLOUD_ROLE_ARN",
        ),
        (
            "default",
            plain,
            vec![key[0], key[1], role],
            "TENCENTCLOUD_ROLE_ARN",
        ),
    ] {
        places.write(file, text);
        let config = places.config(&format!("- {{name: a, credentials: {{type: {kind}}}}}\n"));
        let mut variables = variables;
        variables.push(("HOME", &home));
        for (command, code) in [("--config.check", 2), ("once", 1)] {
            let arguments = ["--config.file", config.to_str().unwrap(), command];
            let output = run(&arguments, &variables).await;
            assert_eq!(output.status.code(), Some(code), "{kind} {command}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(named), "{kind} {command}: {stderr}");
        }
    }
    // Without a configuration the variables are the configuration.
    let output = run(&["--config.check"], &[key[0], key[1], role]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_told_at_the_check_and_never_shown() {
    const KEY: &str = "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA";
    const ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA";
    let quoted = format!("\"{ID}\"");
    for (id, key, code, said) in [
        (ID, KEY, 0, "configuration is good"),
        (
            quoted.as_str(),
            KEY,
            2,
            "TENCENTCLOUD_SECRET_ID: the value has quotes around it",
        ),
        (
            ID,
            "'s3cret'",
            2,
            "TENCENTCLOUD_SECRET_KEY: the value has quotes around it",
        ),
        (KEY, ID, 2, "are swapped"),
        (KEY, "another", 2, "does not look like a secret id"),
        ("AKID one", KEY, 2, "white space"),
        ("AKIDone\n", KEY, 2, "a blank or a line end"),
        ("corporate.id-7", KEY, 0, "does not begin with AKID or IKID"),
    ] {
        let variables = [
            ("TENCENTCLOUD_SECRET_ID", id),
            ("TENCENTCLOUD_SECRET_KEY", key),
        ];
        let output = run(&["--config.check"], &variables).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{id}: {text}");
        assert!(text.contains(said), "{id}: {text}");
        assert!(!text.contains(KEY) && !text.contains("corporate"), "{text}");
    }
}
