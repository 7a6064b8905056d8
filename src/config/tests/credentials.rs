//! Where credentials may come from.

use std::time::Duration;

use super::{environment, fixtures, load, load_text};
use crate::config::{AssumeRole, Credentials, Environment, Profile, SecretSource, Tccli};

fn role_arn(uin: u64, role: &str) -> String {
    format!("qcs::cam::uin/{uin}:{role}")
}

#[test]
fn every_type_is_read_and_the_chain_is_the_default() {
    let home = fixtures().join("home");
    let token = fixtures().join("token");
    let config = load(
        "credentials.yml",
        [
            ("HOME", home.to_str().unwrap()),
            ("TKE_REGION", "ap-beijing"),
            ("TKE_PROVIDER_ID", "cls-1"),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/x"),
        ],
    );
    let config = config.unwrap();
    let simple = AssumeRole {
        role_arn: role_arn(100_000_000_001, "roleName/CwpExporter"),
        session_name: "cwp-exporter".to_owned(),
        duration: Duration::from_secs(7200),
        external_id: None,
        source: Credentials::Default,
    };
    let hub = AssumeRole {
        role_arn: role_arn(100_000_000_002, "roleName/Hub"),
        source: Credentials::CvmRole { role: None },
        ..simple.clone()
    };
    let full = AssumeRole {
        role_arn: role_arn(100_000_000_001, "role/4611686018427397919"),
        session_name: "prod@cwp".to_owned(),
        duration: Duration::from_secs(1800),
        external_id: Some(SecretSource::File(fixtures().join("secret-key"))),
        source: Credentials::AssumeRole(Box::new(hub)),
    };
    let expected = [
        Credentials::Default,
        Credentials::Default,
        Credentials::Env,
        Credentials::Profile(Profile {
            name: "default".to_owned(),
            file: Some(fixtures().join("profiles")),
        }),
        Credentials::Tccli(Tccli {
            profile: Some("ops".to_owned()),
        }),
        Credentials::CvmRole { role: None },
        Credentials::CvmRole {
            role: Some("CwpExporter".to_owned()),
        },
        Credentials::TkeOidc,
        Credentials::AssumeRole(Box::new(simple)),
        Credentials::AssumeRole(Box::new(full)),
    ];
    for (account, expected) in config.accounts.iter().zip(&expected) {
        assert_eq!(account.credentials, *expected, "{}", account.name);
    }
    assert_eq!(config.accounts.len(), expected.len());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_role_can_be_configured_by_variables_alone() {
    let credentials = |key: &str| format!("CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__{key}");
    let environment: Environment = [
        ("CWP_EXPORTER_ACCOUNTS__0__NAME".to_owned(), "a"),
        (credentials("TYPE"), "assume_role"),
        (
            credentials("ROLE_ARN"),
            "qcs::cam::uin/100000000001:roleName/CwpExporter",
        ),
        (credentials("SOURCE__TYPE"), "cvm_role"),
    ]
    .into_iter()
    .collect();
    let config = crate::config::Config::load(None, &environment, &[]).unwrap();
    let Credentials::AssumeRole(role) = &config.accounts[0].credentials else {
        panic!("{config:?}");
    };
    assert_eq!(role.source, Credentials::CvmRole { role: None });
}

#[test]
fn only_what_is_used_needs_the_token_service() {
    let asks = |yaml: &str, environment: &Environment| {
        let yaml = format!("accounts: [{{name: a, credentials: {yaml}}}]");
        let config = load_text(&yaml, environment).unwrap();
        let credentials = &config.accounts[0].credentials;
        (credentials.ask_sts(environment), credentials.ask_metadata())
    };
    let plain = environment([]);
    let in_pod = environment([("TKE_REGION", "ap-beijing")]);
    let role = "{type: assume_role, role_arn: \"qcs::cam::uin/1:role/1\", source: {type: env}}";
    assert_eq!(asks("{type: env}", &in_pod), (false, false));
    assert_eq!(asks("{type: cvm_role}", &in_pod), (false, true));
    assert_eq!(asks("{type: default}", &plain), (false, true));
    assert_eq!(asks("{type: default}", &in_pod), (true, true));
    assert_eq!(asks(role, &plain), (true, false));
}
