//! What is shown loads again, and shows no secret.

use std::path::Path;
use std::sync::Arc;

use super::super::Environment;
use super::*;

/// An account of each type of credentials, and names that YAML might take for something
/// else.
const EVERYTHING: &str = r#"
poll: {interval: 90s, timeout: 1500ms}
api: {rate_limit: 3, proxy_url: "http://me:hunter2@proxy:3128", ca_file: ca.pem}
accounts:
- {name: static, region: ap-x, labels: {team: "yes", "null": "1.0"}, credentials: {type: static, secret_id: hunter2, secret_key_env: KEY, token_file: token}}
- {name: "- #: 'x' \"y\" \\ \n主机", credentials: {type: static, secret_id_file: token, secret_key_file: token}}
- {name: "true", endpoint: "http://127.0.0.1:1", credentials: {type: env}}
- {name: "0o17", credentials: {type: profile, file: profiles}}
- {name: "~", credentials: {type: tccli}}
- {name: "2026-11-23", credentials: {type: cvm_role, role: Role}}
- {name: "1:30", credentials: {type: tke_oidc}}
- name: role
  credentials:
    type: assume_role
    role_arn: qcs::cam::uin/1:roleName/R
    external_id_file: token
    source: {type: assume_role, role_arn: "qcs::cam::uin/1:role/2", source: {type: static, secret_id_env: KEY, secret_key_env: KEY}}
- {name: chain}
"#;

struct Place {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join(".tccli")).unwrap();
        for (name, text) in [
            ("token", "hunter2"),
            (
                "ca.pem",
                include_str!("../../../tests/fixtures/config/ca.pem"),
            ),
            (
                "profiles",
                "[default]\nsecret_id = a\nsecret_key = hunter2\n",
            ),
            (
                ".tccli/default.credential",
                r#"{"secretId": "a", "secretKey": "hunter2"}"#,
            ),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let environment = Environment::from_iter([
            ("HOME", path("")),
            ("KEY", "hunter2".to_owned()),
            ("TENCENTCLOUD_SECRET_ID", "hunter2".to_owned()),
            ("TENCENTCLOUD_SECRET_KEY", "hunter2".to_owned()),
            ("TKE_REGION", "ap-x".to_owned()),
            ("TKE_PROVIDER_ID", "x".to_owned()),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", path("token")),
            ("TKE_ROLE_ARN", "x".to_owned()),
        ]);
        Self {
            folder,
            environment,
        }
    }

    fn load(&self, folder: &Path, yaml: &str) -> Config {
        let file = folder.join("cwp.yml");
        std::fs::write(&file, yaml).unwrap();
        let config = Config::load(Some(&file), &self.environment, &[]);
        config.unwrap_or_else(|error| panic!("{error}\n{yaml}"))
    }
}

#[test]
fn what_is_shown_loads_again_as_the_same_but_for_its_secrets() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let config = place.load(place.folder.path(), EVERYTHING);
    let shown = config.to_yaml().unwrap();
    let mut again = place.load(elsewhere.path(), &shown);
    assert_eq!(again.to_yaml().unwrap(), shown);

    // Only the secrets differ.
    assert_ne!(again, config);
    again.api.proxy_url.clone_from(&config.api.proxy_url);
    again.proxies = config.proxies.clone();
    let hidden = Account::clone(&config.accounts[0]);
    again.accounts[0] = hidden.into();
    assert_eq!(again, config);

    let plain = place.load(place.folder.path(), "accounts: [{name: a}]");
    assert_eq!(
        place.load(elsewhere.path(), &plain.to_yaml().unwrap()),
        plain
    );
}

#[test]
fn what_is_shown_has_every_default_and_no_secret() {
    let place = Place::new();
    let shown = place
        .load(place.folder.path(), EVERYTHING)
        .to_yaml()
        .unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    for line in [
        "interval: 1m30s",
        "timeout: 1s500ms",
        "max_age: 10m",
        "endpoint: https://cwp.tencentcloudapi.com",
        "proxy_url: http://<secret>@proxy:3128",
        "secret_id: <secret>",
        "duration: 2h",
        "session_name: cwp-exporter",
        "profile: default",
        "type: default",
    ] {
        assert!(
            shown.lines().any(|shown| shown.trim() == line),
            "{line}\n{shown}"
        );
    }
}

#[test]
fn what_is_shown_loads_again_at_the_limits() {
    let place = Place::new();
    for yaml in ["poll: {interval: 2921h}", "poll: {interval: 8760h}"] {
        let config = place.load(place.folder.path(), yaml);
        let again = place.load(place.folder.path(), &config.to_yaml().unwrap());
        assert_eq!(again, config, "{yaml}");
    }
}

#[test]
fn hidden_ids_are_not_taken_for_one_key() {
    let place = Place::new();
    let accounts = (0..1_000).map(|n| {
        format!("- {{name: a{n}, credentials: {{type: static, secret_id: id{n}, secret_key_env: KEY}}}}\n")
    });
    let yaml = format!("accounts:\n{}", accounts.collect::<String>());
    let config = place.load(place.folder.path(), &yaml);
    let file = place.folder.path().join("shown.yml");
    std::fs::write(&file, config.to_yaml().unwrap()).unwrap();
    let source = super::super::Source {
        file: Some(file),
        environment: place.environment,
        ..Default::default()
    };
    source.load().unwrap();
}

/// Text that YAML might take for something else, or not take at all.
fn odd_text(random: &mut fastrand::Rng) -> String {
    const WORDS: [&str; 24] = [
        "",
        "null",
        "~",
        "yes",
        "1.0",
        "0x1F",
        ".inf",
        "2026-11-26",
        "<<",
        "- a",
        "? a",
        "a: b",
        "#",
        "a #b",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "'",
        "\"",
        "\\",
        "|",
    ];
    let mut text = String::new();
    for _ in 0..random.usize(0..5) {
        match random.u8(0..4) {
            0 => text += random.choice(WORDS).unwrap(),
            1 => text.push(char::from(random.u8(0..128))),
            2 => text.push(random.char('\u{80}'..'\u{2100}')),
            _ => text.push(random.char('\0'..=char::MAX)),
        }
    }
    text
}

/// `text` in YAML that cannot be misread.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| format!("\\U{:08X}", u32::from(c)));
    format!("\"{}\"", escaped.collect::<String>())
}

fn odd_account(number: usize, random: &mut fastrand::Rng) -> String {
    let name = format!("{} {number}", odd_text(random));
    let labels =
        (0..random.usize(0..4)).map(|label| format!("l{label}: {}", quoted(&odd_text(random))));
    let labels: Vec<String> = labels.collect();
    let seconds = random.u64(60..43_200);
    let credentials = [
        "{type: env}".to_owned(),
        "{type: cvm_role, role: a}".to_owned(),
        "{type: static, secret_id: AKIDother, secret_key_env: KEY, token_file: token}".to_owned(),
        "{type: static, secret_id_file: token, secret_key_file: ./token}".to_owned(),
        format!("{{type: assume_role, role_arn: 'qcs::cam::uin/1:role/2', duration: {seconds}s}}"),
        format!(
            "{{type: profile, profile: {}}}",
            quoted(&format!("p{}", odd_text(random)))
        ),
    ];
    let credentials = random.choice(credentials).unwrap();
    let endpoint = format!("http://127.0.0.{}:{}", random.u8(..), random.u16(1..));
    format!(
        "- {{name: {}, labels: {{{}}}, endpoint: '{endpoint}', credentials: {credentials}}}\n",
        quoted(name.trim()),
        labels.join(", ")
    )
}

#[test]
fn whatever_is_configured_what_is_shown_loads_again_as_the_same() {
    let place = Place::new();
    let mut loaded = 0;
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let interval = random.u64(1_000..31_536_000_000);
        let yaml = format!(
            "poll: {{interval: {interval}ms, timeout: {}ms}}\napi: {{rate_limit: {}, max_in_flight: {}}}\naccounts:\n{}",
            random.u64(1..interval),
            random.u32(1..),
            random.u32(1..100_000),
            (0..4)
                .map(|number| odd_account(number, &mut random))
                .collect::<String>()
        );
        let file = place.folder.path().join("cwp.yml");
        std::fs::write(&file, &yaml).unwrap();
        // A profile's name cannot be everything.
        let Ok(config) = Config::load(Some(&file), &place.environment, &[]) else {
            continue;
        };
        loaded += 1;
        let shown = config.to_yaml().unwrap();
        let mut again = place.load(place.folder.path(), &shown);
        assert_eq!(again.to_yaml().unwrap(), shown);
        for (again, account) in again.accounts.iter_mut().zip(&config.accounts) {
            if shown.contains("<secret>") {
                Arc::make_mut(again).credentials = account.credentials.clone();
            }
        }
        assert_eq!(again, config, "{yaml}");
    }
    assert!(loaded > 200, "{loaded}");
}
