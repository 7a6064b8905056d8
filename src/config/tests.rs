mod accounts_files;
mod credentials;
mod odd;

use std::path::{Path, PathBuf};
use std::time::Duration;

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
    Config::load(Some(&fixtures().join(fixture)), &environment(variables))
}

/// Loads the text of a file that is gone afterwards.
fn load_text(yaml: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::load(Some(file.path()), environment)
}

/// The same, strictly.
fn check_text(yaml: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::check(Some(file.path()), environment)
}

/// The message that the environment alone causes.
fn message<const N: usize>(variables: [(&str, &str); N]) -> String {
    Config::load(None, &environment(variables))
        .unwrap_err()
        .to_string()
}

#[test]
fn two_variables_are_a_configuration() {
    let config = Config::load(None, &environment([])).unwrap();
    let expected = Config {
        poll: Poll {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(600),
        },
        api: Api {
            rate_limit: NonZeroU32::new(10).unwrap(),
            max_in_flight: NonZeroUsize::new(64).unwrap(),
            sts_endpoint: "https://sts.tencentcloudapi.com".parse().unwrap(),
            metadata_endpoint: Endpoint::parse_without_tls("http://metadata.tencentyun.com")
                .unwrap(),
            proxy_url: None,
            ca_file: None,
        },
        endpoint: Endpoint::https("cwp.tencentcloudapi.com"),
        accounts: vec![Arc::new(Account {
            name: "default".to_owned(),
            endpoint: "https://cwp.tencentcloudapi.com".parse().unwrap(),
            region: None,
            labels: BTreeMap::new(),
            credentials: Credentials::Env,
        })],
        accounts_files: None,
        share: Share::default(),
        proxies: Proxies::default(),
        warnings: Vec::new(),
    };
    assert_eq!(config, expected);
    assert!(config.warnings().is_empty());
}

#[test]
fn the_documented_example_is_read() {
    let config = load("good.yml", []).unwrap();
    let default = Config::load(None, &environment([])).unwrap();
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
        Credentials::Static {
            secret_id: IdSource::Literal("AKIDhunter2".to_owned()),
            secret_key: SecretSource::File(fixtures().join("secret-key")),
            token: Some(SecretSource::File(fixtures().join("token"))),
        }
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
    let mut wrong = String::new();
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
        let error = Config::check(Some(&path), &environment).unwrap_err();
        let message = error.to_string().replace(&directory, "");
        let message = message.replace(directory.trim_end_matches('/'), ".") + "\n";
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        if message != expected {
            wrong += &format!("==== {name}\n{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
        assert!(!format!("{error:?}").contains("hunter2"), "{message}");
    }
    assert!(wrong.is_empty(), "{wrong}");
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
fn variables_overlay_the_file() {
    let config = load(
        "good.yml",
        [
            ("CWP_EXPORTER_POLL__INTERVAL", "30s"),
            ("CWP_EXPORTER_API__RATE_LIMIT", "5"),
            ("CWP_EXPORTER_API__CA_FILE", "tests/fixtures/config/ca.pem"),
            ("CWP_EXPORTER_API__ENDPOINT", "http://127.0.0.1:8081"),
            ("CWP_EXPORTER_ACCOUNTS__0__REGION", "ap-beijing"),
            ("CWP_EXPORTER_ACCOUNTS__0__LABELS__TIER", "\"1\""),
            (
                "CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS",
                "{secret_key_file=tests/fixtures/config/token}",
            ),
            ("CWP_EXPORTER_ACCOUNTS__1__NAME", "\"7\""),
            ("CWP_EXPORTER_ACCOUNTS__1__ENDPOINT", ""),
            ("CWP_EXPORTER_ACCOUNTS__2__NAME", "new, and more"),
            ("CWP_EXPORTER_ACCOUNTS__2__CREDENTIALS", "{type=env}"),
        ],
    )
    .unwrap();
    assert_eq!(config.poll.interval, Duration::from_secs(30));
    assert_eq!(config.poll.timeout, Duration::from_secs(10));
    assert_eq!(config.api.rate_limit.get(), 5);
    let ca_file = config.api.ca_file.as_ref().unwrap();
    assert_eq!(ca_file.path(), Path::new("tests/fixtures/config/ca.pem"));
    let [prod, seven, new] = config.accounts.as_slice() else {
        panic!("three accounts: {config:?}");
    };
    assert_eq!(prod.region.as_deref(), Some("ap-beijing"));
    assert!(!prod.endpoint.is_https());
    // Relative to the working directory, as a variable sets it.
    assert!(format!("{prod:?}").contains(r#"File("tests/fixtures/config/token")"#));
    assert_eq!(prod.labels.get("team").unwrap(), "security");
    assert_eq!(prod.labels.get("tier").unwrap(), "1");
    assert_eq!(seven.name, "7");
    assert_eq!(seven.endpoint.host(), "cwp.intl.tencentcloudapi.com:8443");
    assert_eq!(new.name, "new, and more");
}

#[test]
fn more_than_ten_accounts_keep_their_order() {
    let variables = (0..12).flat_map(|index| {
        let account = format!("CWP_EXPORTER_ACCOUNTS__{index}__");
        [
            (format!("{account}NAME"), format!("account {index}")),
            (format!("{account}CREDENTIALS__TYPE"), "env".to_owned()),
        ]
    });
    let usual = [ID, KEY].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Environment = usual.into_iter().chain(variables).collect();
    let config = Config::load(None, &environment).unwrap();
    let names: Vec<String> = config.accounts.iter().map(|a| a.name.clone()).collect();
    let expected: Vec<String> = (0..12).map(|index| format!("account {index}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn mistaken_variables_are_named() {
    assert_eq!(
        message([
            ("CWP_EXPORTER_POLL__INTERVALL", "30s"),
            ("CWP_EXPORTER_POL__INTERVAL", "30s"),
            ("CWP_EXPORTER__POLL__TIMEOUT", "30s"),
            ("CWP_EXPORTER_POLL__TIMEOUT", "30"),
            ("CWP_EXPORTER_API__0", "hunter2"),
            ("CWP_EXPORTER_API__RATE_LIMIT__X", "5"),
            ("CWP_EXPORTER_ACCOUNTS__1__NAME", "hunter2"),
        ]),
        "configuration: 7 problems
  CWP_EXPORTER_ACCOUNTS__1__NAME: accounts[1]: there is no item [0] before it; number the items 0, 1, 2… without a gap
  CWP_EXPORTER_API__0: api.<not shown>: unknown key; use one of endpoint, rate_limit, max_in_flight, sts_endpoint, metadata_endpoint, proxy_url, ca_file
  CWP_EXPORTER_API__RATE_LIMIT__X: api.rate_limit: expected a number, found a map; write a whole number from 1 to 4294967295
  CWP_EXPORTER_POLL__INTERVALL: poll.intervall: unknown key; did you mean `interval`?
  CWP_EXPORTER_POLL__TIMEOUT: poll.timeout: a number without a unit; add the unit, such as `30s`
  CWP_EXPORTER_POL__INTERVAL: pol: unknown key; did you mean `poll`?
  CWP_EXPORTER__POLL__TIMEOUT: _poll: unknown key; did you mean `poll`?"
    );
    assert_eq!(
        message([
            ("CWP_EXPORTER_ACCOUNTS__PROD__NAME", "prod"),
            ("CWP_EXPORTER_ACCOUNTS__0__NAME", "prod"),
        ]),
        "configuration: 1 problem
  CWP_EXPORTER_ACCOUNTS__PROD__NAME: accounts.prod: not the number of an item of the list; number the items 0, 1, 2… without a gap"
    );
    assert_eq!(
        message([
            ("CWP_EXPORTER_ACCOUNTS__0__NAME", "7"),
            ("CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__TYPE", "static"),
            ("CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__SECRET_ID", "AKIDhunter2"),
            ("CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__SECRET_KEY", "hunter2"),
        ]),
        "configuration: 2 problems
  CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__SECRET_KEY: accounts[0].credentials.secret_key: a secret must not be written here; put it in a file or a variable and name that in `secret_key_file` or `secret_key_env`
  CWP_EXPORTER_ACCOUNTS__0__NAME: accounts[0].name: expected text, found a number; put double quotes around it, inside the variable"
    );
}

#[test]
fn variables_of_kubernetes_are_ignored() {
    let plain = Config::load(None, &environment([])).unwrap();
    let injected = environment([
        ("CWP_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("CWP_EXPORTER_SERVICE_PORT", "10064"),
        ("CWP_EXPORTER_PORT", "tcp://10.0.0.1:10064"),
        ("CWP_EXPORTER_PORT_10064_TCP", "tcp://10.0.0.1:10064"),
        ("CWP_EXPORTER_PORT_10064_TCP_ADDR", "10.0.0.1"),
        ("CWP_EXPORTER_POLL", "30s"),
    ]);
    assert_eq!(Config::load(None, &injected).unwrap(), plain);
}

#[test]
fn the_usual_variables_are_checked() {
    assert_eq!(
        Config::load(None, &Environment::from([ID]))
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
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/c.yml")), &environment([])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/c.yml: 1 problem
  /nowhere/c.yml: cannot read the file: No such file or directory (os error 2); create the file, or correct the path"
    );
    let error = Config::load(Some(&fixtures()), &environment([])).unwrap_err();
    assert!(error.to_string().ends_with("; name a file"), "{error}");
}

#[test]
fn a_file_that_is_no_utf8_is_told_as_such() {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (bytes, message) in [
        (
            utf16("\u{feff}poll: {}\n"),
            "the file is UTF-16, or no text",
        ),
        (utf16("poll: {}\n"), "the file is UTF-16, or no text"),
        (b"\xfe\xff\0p".to_vec(), "the file is UTF-16, or no text"),
        (
            b"poll: {}\n# caf\xe9\n".to_vec(),
            "line 2 is not UTF-8 text",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let error = Config::load(Some(file.path()), &environment([])).unwrap_err();
        let problem = error.problems()[0].to_string();
        let expected = format!(
            "{}: {message}; save the file as UTF-8",
            file.path().display()
        );
        assert_eq!(problem, expected);
    }
}

#[test]
fn a_key_that_is_there_twice_is_told_with_both_lines_wherever_it_is() {
    let yaml = "poll:\n  interval: 1m\n  interval: 2m\naccounts:\n- name: a\n  labels: {x: a, y: b, x: c}\n\
                - name: b\n  credentials:\n    type: env\n\n    type: env\npoll: {}\n";
    let error = load_text(yaml, &environment([])).unwrap_err().to_string();
    let told: Vec<&str> = error
        .lines()
        .skip(1)
        .map(|line| line.split_once(':').unwrap().1)
        .collect();
    assert_eq!(
        told,
        [
            "3: poll.interval: the same key is on line 2 already; keep one of the two",
            "6: accounts[0].labels.x: the same key is on line 6 already; keep one of the two",
            "11: accounts[1].credentials.type: the same key is on line 9 already; keep one of the two",
            "12: poll: the same key is on line 1 already; keep one of the two",
        ]
    );
}

#[test]
fn a_remedy_is_never_refused_itself() {
    const UNIT: &str = "a number without a unit; write a number and a unit (h, m, s or ms), such \
                        as `60s` or `1h30m`";
    for (value, problem) in [
        ("0", "0 is too short; write at least `1s`"),
        ("0s", "0s is too short; write at least `1s`"),
        ("0.5", UNIT),
        ("-60", UNIT),
        ("90", "a number without a unit; add the unit, such as `90s`"),
        (
            "1.5",
            "a number without a unit; add the unit, such as `1.5s`",
        ),
        ("99999999", UNIT),
    ] {
        let message = message([("CWP_EXPORTER_POLL__INTERVAL", value)]);
        let expected = format!(
            "configuration: 1 problem\n  CWP_EXPORTER_POLL__INTERVAL: poll.interval: {problem}"
        );
        assert_eq!(message, expected, "{value}");
    }
    for good in ["1s", "90s", "1.5s", "60s", "1h30m"] {
        let variables = environment([("CWP_EXPORTER_POLL__INTERVAL", good)]);
        assert!(Config::load(None, &variables).is_ok(), "{good}");
    }
}

#[test]
fn a_long_environment_is_read_in_time_that_grows_as_it_does() {
    // A name of 16,000 parts overflowed the stack, 16,000 variables took half a minute.
    let deep = format!("CWP_EXPORTER_POLL{}", "__A".repeat(16_000));
    let told = message([(deep.as_str(), "1")]);
    assert!(
        told.contains("__A_…: the name has 16001 parts between `__`; write the path of a key"),
        "{told}"
    );
    assert!(told.len() < 400, "{told}");
    let accounts = (0..16_000).flat_map(|index| {
        let account = format!("CWP_EXPORTER_ACCOUNTS__{index}__");
        let label = "A".repeat(index % 100 + 1);
        [
            (format!("{account}NAME"), format!("account {index}")),
            (format!("{account}LABELS__{label}"), "x".to_owned()),
        ]
    });
    let unknown = (0..16_000).map(|index| (format!("CWP_EXPORTER_POLL__A{index}"), "1".to_owned()));
    let error = Config::load(None, &accounts.chain(unknown).collect()).unwrap_err();
    assert_eq!(error.problems().len(), 16_000);
}

#[test]
fn null_counts_as_absent() {
    let plain = Config::load(None, &environment([])).unwrap();
    for yaml in [
        "",
        "# nothing\n",
        "---\n",
        "~",
        "{}",
        "\u{feff}poll:\r\n  interval:\r\n",
        "poll: {interval: ~}\napi:\naccounts: null\n",
    ] {
        assert_eq!(
            load_text(yaml, &environment([])).unwrap(),
            plain,
            "{yaml:?}"
        );
    }
}

#[test]
fn anchors_and_merge_keys_work() {
    let yaml = "accounts:\n- &a\n  name: a\n  labels: &l {x: y}\n  credentials: &c {type: env}\n\
                - {<<: *a, name: b}\n- name: c\n  labels: *l\n  credentials: *c\n";
    let config = load_text(yaml, &environment([])).unwrap();
    assert!(
        config
            .accounts
            .iter()
            .all(|account| account.labels.get("x").is_some_and(|x| x == "y"))
    );
    assert_eq!(config.accounts.len(), 3);
}

#[test]
fn a_file_may_be_as_long_as_it_has_accounts() {
    // More than 250,000 nodes, 50,000 anchors and aliases, 10,000 merge keys, and 10 aliases
    // for each anchor: limits that there were.
    let mut yaml = "poll: {interval: 24h}\naccounts:\n\
                    - &first {name: first, labels: &labels {team: a}}\n"
        .to_owned();
    for n in 0..30_000 {
        yaml += &format!(
            "- &a{n} {{<<: *first, name: &n{n} a{n}, labels: *labels, region: ap-x, endpoint: https://x}}\n"
        );
    }
    let config = load_text(&yaml, &environment([])).unwrap();
    assert_eq!(config.accounts.len(), 30_001);
    let last = config.accounts.last().unwrap();
    assert_eq!((last.name.as_str(), last.labels.len()), ("a29999", 1));
}

#[test]
fn the_limits_that_remain_are_told_as_such() {
    let deep = format!("accounts: {}{}", "[".repeat(17), "]".repeat(17));
    let error = load_text(&deep, &environment([])).unwrap_err().to_string();
    assert!(
        error.contains("maps and lists are nested more than 16 deep; nest less"),
        "{error}"
    );
    let mut bomb = "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..10 {
        let below = format!("*x{},", level - 1).repeat(10);
        bomb += &format!("x{level}: &x{level} [{below}]\n");
    }
    let error = load_text(&bomb, &environment([])).unwrap_err().to_string();
    assert!(
        error.contains("the aliases (`*name`) stand for more than"),
        "{error}"
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
             next poll",
        ]
    );
}
