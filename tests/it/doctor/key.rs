//! `doctor` and keys: it names their sources, and shows no key.

use cwp_exporter::simulator::Answer;

use super::Diagnosis;
use crate::harness::Cloud;

#[tokio::test]
async fn every_type_of_credentials_is_examined_and_its_source_is_named() {
    let arn = "qcs::cam::uin/100000000001:roleName/CwpExporter";
    let cloud = Cloud::start(&format!(
        "sts: {{lifetime: 2h}}
metadata: {{account: prod, lifetime: 2h}}
accounts:
  - {{name: ops, secret_id: AKIDops, secret_key: s3cret-ops}}
  - name: prod
    role: {{arn: '{arn}', trusts: [ops]}}
    web_identity: {{provider: tke, token: s3cret.web}}"
    ))
    .await;
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    write(
        ".tencentcloud/credentials",
        "[default]\nsecret_id = AKIDops\nsecret_key = s3cret-ops\n",
    );
    write(
        ".tccli/default.credential",
        r#"{"secretId": "AKIDops", "secretKey": "s3cret-ops"}"#,
    );
    let token = write("token", "s3cret.web");
    let url = &cloud.url;
    let config = format!(
        "api: {{endpoint: '{url}', sts_endpoint: '{url}', metadata_endpoint: '{url}'}}
accounts:
  - {{name: env, credentials: {{type: env}}}}
  - {{name: profile, credentials: {{type: profile}}}}
  - {{name: tccli, credentials: {{type: tccli}}}}
  - {{name: cvm_role, credentials: {{type: cvm_role}}}}
  - {{name: tke_oidc, credentials: {{type: tke_oidc}}}}
  - {{name: assume_role, credentials: {{type: assume_role, role_arn: '{arn}', source: {{type: env}}}}}}
  - {{name: default}}"
    );
    let home = home.path().display().to_string();
    let variables = [
        ("HOME", home.as_str()),
        ("TENCENTCLOUD_SECRET_ID", "AKIDops"),
        ("TENCENTCLOUD_SECRET_KEY", "s3cret-ops"),
        ("TKE_REGION", "ap-guangzhou"),
        ("TKE_PROVIDER_ID", "tke"),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", &token),
        ("TKE_ROLE_ARN", arn),
    ];
    let found = Diagnosis::of(&config, &variables).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    let sources = [
        "the environment AKIDops…",
        "profile `default` of the credentials file AKIDops…",
        "tccli profile `default` AKIDops…",
        "the role of the CVM instance",
        "",
        "assumed by the environment",
        "the environment, found by the default chain AKIDops…",
    ];
    for (number, words) in sources.into_iter().enumerate() {
        let detail = found.step(number, "credentials")["detail"].as_str();
        let detail = detail.unwrap();
        assert!(detail.contains(words), "no `{words}` in `{detail}`");
        let is_temporary = (3..6).contains(&number);
        assert_eq!(detail.contains(", valid for "), is_temporary, "{detail}");
    }
    let said = format!("{}{}", found.text, found.json);
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn no_secret_is_ever_shown_right_or_wrong_or_echoed() {
    let cloud = Cloud::start(
        "accounts: [{name: a0, secret_id: AKIDa0-the-rest-of-it, secret_key: s3cr3t-key, token: s3cr3t-token}]",
    )
    .await;
    let config = format!(
        "api: {{endpoint: '{}'}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id_env: ID, secret_key_env: KEY, token_env: TOKEN}}}}]",
        cloud.url
    );
    let echo = Answer::Error {
        code: "InternalError.s3cr3t-key".to_owned(),
        message: "you sent s3cr3t-key and s3cr3t-token".to_owned(),
    };
    let id = "AKIDa0-the-rest-of-it";
    for (id, key, token, echoed, code) in [
        (id, "s3cr3t-key", "s3cr3t-token", false, 0),
        (id, "s3cr3t-key", "s3cr3t-token", true, 1),
        (id, "wr0ng-key", "wr0ng-token", false, 1),
        (id, "s3cr3t-key", "wr0ng-token", false, 1),
        ("s3cr3t-key", id, "s3cr3t-token", false, 1),
    ] {
        match echoed {
            true => cloud.handle.play("a0", echo.clone()).unwrap(),
            false => cloud.handle.resume("a0").unwrap(),
        }
        let variables = [("ID", id), ("KEY", key), ("TOKEN", token)];
        let found = Diagnosis::of(&config, &variables).await;
        assert_eq!(found.code, Some(code), "{}", found.text);
        let said = format!("{}{}", found.text, found.json);
        for secret in ["s3cr3t", "wr0ng", "the-rest-of-it"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(said.contains("the configured key"));
    }
}
