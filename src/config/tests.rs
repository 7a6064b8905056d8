mod accounts_files;
mod credentials;
mod odd;
mod variables;
mod yaml;

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect_file;

use super::*;

const ID: (&str, &str) = ("TENCENTCLOUD_SECRET_ID", "AKIDhunter2");
const KEY: (&str, &str) = ("TENCENTCLOUD_SECRET_KEY", "hunter2");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config")
}

/// The usual two variables and `more`.
fn environment<const N: usize>(more: [(&str, &str); N]) -> Environment {
    [ID, KEY].into_iter().chain(more).collect()
}

fn load<const N: usize>(
    fixture: &str,
    variables: [(&str, &str); N],
) -> Result<Config, ConfigError> {
    Config::load(
        Some(&fixtures().join(fixture)),
        &environment(variables),
        &[],
    )
}

/// Loads the text of a file that is gone afterwards.
fn load_text(yaml: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::load(Some(file.path()), environment, &[])
}

/// The same, strictly.
fn check_text(yaml: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::read(Some(file.path()), environment, &[], true)
}

/// The message that the environment alone causes.
fn message<const N: usize>(variables: [(&str, &str); N]) -> String {
    Config::load(None, &environment(variables), &[])
        .unwrap_err()
        .to_string()
}

#[test]
fn two_variables_are_a_configuration() {
    let config = Config::load(None, &environment([]), &[]).unwrap();
    let expected = Config {
        poll: Poll {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(600),
        },
        api: Api {
            endpoint: Endpoint::https("cwp.tencentcloudapi.com"),
            rate_limit: NonZeroU32::new(10).unwrap(),
            max_in_flight: NonZeroUsize::new(64).unwrap(),
            sts_endpoint: "https://sts.tencentcloudapi.com".parse().unwrap(),
            metadata_endpoint: Endpoint::parse_without_tls("http://metadata.tencentyun.com")
                .unwrap(),
            proxy_url: None,
            ca_file: None,
        },
        accounts: vec![Arc::new(Account {
            name: "default".to_owned(),
            endpoint: "https://cwp.tencentcloudapi.com".parse().unwrap(),
            region: None,
            labels: BTreeMap::new(),
            credentials: Credentials::Env,
        })],
        collectors: BTreeMap::new(),
        accounts_files: None,
        partition: Partition::default(),
        proxies: Proxies::default(),
        warnings: Vec::new(),
    };
    assert_eq!(config, expected);
    assert!(config.warnings().is_empty());
}

#[test]
fn the_documented_example_is_read() {
    let config = load("good.yml", []).unwrap();
    let default = Config::load(None, &environment([]), &[]).unwrap();
    assert_eq!(config.poll, default.poll);
    assert_eq!(
        config.api,
        Api {
            proxy_url: Some("http://me:hunter2@proxy.example:3128".parse().unwrap()),
            ca_file: Some(CaFile::read(fixtures().join("ca.pem")).unwrap()),
            ..default.api
        }
    );
    let [prod, partner] = config.accounts.as_slice() else {
        panic!("two accounts: {config:?}");
    };
    assert_eq!(prod.name, "prod");
    assert_eq!(prod.endpoint.url(), "https://cwp.tencentcloudapi.com");
    assert_eq!(prod.region.as_deref(), Some("ap-guangzhou"));
    assert_eq!(prod.labels.get("team").unwrap(), "security");
    assert_eq!(
        prod.credentials,
        Credentials::Static(StaticKey {
            secret_id: IdSource::Literal("AKIDhunter2".to_owned()),
            secret_key: SecretSource::File(fixtures().join("secret-key")),
            token: Some(SecretSource::File(fixtures().join("token"))),
        })
    );
    assert_eq!(partner.name, r#"合作 "伙伴" \ 1"#);
    assert_eq!(partner.endpoint.host(), "cwp.intl.tencentcloudapi.com:8443");
    assert_eq!(partner.credentials, Credentials::Env);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn bad_configurations_say_exactly_what_is_wrong() {
    let directory = format!("{}/", fixtures().display());
    let mut checked = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("bad-") || !name.ends_with(".yml") {
            continue;
        }
        checked += 1;
        // One fixture is about the absence of the usual variables.
        let environment = match name {
            "bad-accounts-none.yml" => Environment::default(),
            "bad-credentials-places.yml" => environment([
                ("HOME", fixtures().to_str().unwrap()),
                ("TKE_REGION", "ap-hunter2"),
            ]),
            _ => environment([("EMPTY", " ")]),
        };
        let error = Config::read(Some(&path), &environment, &[], true).unwrap_err();
        let message = error.to_string().replace(&directory, "");
        let message = message.replace(directory.trim_end_matches('/'), ".") + "\n";
        assert!(!message.contains("hunter2"), "{message}");
        assert!(!format!("{error:?}").contains("hunter2"), "{message}");
        expect_file![path.with_extension("txt")].assert_eq(&message);
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let error = load(
        "bad-poll.yml",
        [("CWP_EXPORTER_API__RATE_LIMIT", "hunter2")],
    );
    let error = error.unwrap_err();
    let keys: Vec<&str> = error.problems().iter().map(|p| p.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "poll.interval",
            "poll.timeout",
            "poll.max_age",
            "api.rate_limit"
        ]
    );
}

#[test]
fn the_usual_variables_are_checked() {
    assert_eq!(
        Config::load(None, &Environment::from([ID]), &[])
            .unwrap_err()
            .to_string(),
        "configuration: 1 problem
  accounts: no account is configured; list one under `accounts`, or set TENCENTCLOUD_SECRET_KEY for a single account named `default`"
    );
    assert_eq!(
        message([("TENCENTCLOUD_SECURITY_TOKEN", "hunter2 hunter2")]),
        "configuration: 1 problem
  TENCENTCLOUD_SECURITY_TOKEN: the value has white space, control or non-ASCII characters inside; copy it anew: one word, nothing else"
    );
    let env = "accounts: [{name: a, credentials: {type: env}}]";
    let error = check_text(env, &Environment::default()).unwrap_err();
    let problems: Vec<&str> = error
        .problems()
        .iter()
        .map(|p| p.fault.what.as_str())
        .collect();
    assert_eq!(
        problems,
        ["TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are not set"]
    );
}

#[test]
fn unlikely_settings_are_allowed_with_a_warning() {
    let config = load(
        "good.yml",
        [
            ("CWP_EXPORTER_API__RATE_LIMIT", "40"),
            ("CWP_EXPORTER_POLL__TIMEOUT", "1m30s"),
        ],
    );
    assert_eq!(
        config.unwrap().warnings(),
        [
            "api.rate_limit is 40: unless the accounts' quota was raised, the API throttles above \
             20 requests per second",
            "poll.timeout (1m30s) is longer than poll.interval (1m): one slow request delays the \
             next collection",
        ]
    );
}
