//! What variables set, and what is wrong with them.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::{ID, KEY, environment, load, load_text, message};
use crate::config::{Config, Environment};

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_variable_holds_over_the_file_and_the_file_over_the_default(
        written in [any::<bool>(); 4],
        set in [any::<bool>(); 4],
        numbers in [1_u32..500, 1..500, 1..500, 1..500],
    ) {
        let keys = ["POLL__INTERVAL", "POLL__TIMEOUT", "API__RATE_LIMIT", "API__MAX_IN_FLIGHT"];
        let (mut yaml, mut variables) = (String::new(), Vec::new());
        let mut expected = [60, 10, 10, 64];
        for (at, key) in keys.iter().enumerate() {
            let unit = if at < 2 { "s" } else { "" };
            let (section, name) = key.split_once("__").unwrap();
            if at % 2 == 0 {
                yaml += &format!("{}:\n", section.to_lowercase());
            }
            if written[at] {
                yaml += &format!("  {}: {}{unit}\n", name.to_lowercase(), numbers[at] + 1);
                expected[at] = numbers[at] + 1;
            }
            if set[at] {
                variables.push((format!("CWP_EXPORTER_{key}"), format!("{}{unit}", numbers[at])));
                expected[at] = numbers[at];
            }
        }
        let usual = [ID, KEY].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load_text(&yaml, &usual.into_iter().chain(variables).collect()).unwrap();
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap();
        let found = [
            seconds(config.poll.interval),
            seconds(config.poll.timeout),
            config.api.rate_limit.get(),
            u32::try_from(config.api.max_in_flight.get()).unwrap(),
        ];
        prop_assert_eq!(found, expected, "{}", yaml);
    }
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
    let config = Config::load(None, &environment, &[]).unwrap();
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
    let plain = Config::load(None, &environment([]), &[]).unwrap();
    let injected = environment([
        ("CWP_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("CWP_EXPORTER_SERVICE_PORT", "10064"),
        ("CWP_EXPORTER_PORT", "tcp://10.0.0.1:10064"),
        ("CWP_EXPORTER_PORT_10064_TCP", "tcp://10.0.0.1:10064"),
        ("CWP_EXPORTER_PORT_10064_TCP_ADDR", "10.0.0.1"),
        ("CWP_EXPORTER_POLL", "30s"),
    ]);
    assert_eq!(Config::load(None, &injected, &[]).unwrap(), plain);
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
        assert!(Config::load(None, &variables, &[]).is_ok(), "{good}");
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
    let error = Config::load(None, &accounts.chain(unknown).collect(), &[]).unwrap_err();
    assert_eq!(error.problems().len(), 16_000);
}
