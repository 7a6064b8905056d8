//! Temporary keys, rotations and who may do what, over real sockets.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

pub(super) const SCENARIO: &str = "
rate_limit: 1000
accounts:
  - {name: ops, secret_id: AKIDops, secret_key: key-of-ops}
  - {name: stranger, secret_id: AKIDstranger, secret_key: key-of-stranger}
  - name: prod
    role: {arn: 'qcs::cam::uin/1:roleName/CwpExporter', external_id: x-1, trusts: [ops, prod]}
    web_identity: {provider: tke, token: first.web.token}
    fields: {LicenseCnt: 100}
metadata: {account: prod, lifetime: 10m}
";
pub(super) const ROLES: &str = "/latest/meta-data/cam/security-credentials/";
const ARN: &str = "qcs::cam::uin/1:roleName/CwpExporter";

/// A simulator whose clock a test can turn.
struct Cloud {
    running: RunningSimulator,
    now: Arc<AtomicI64>,
}

/// A key as a caller holds it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) token: Option<String>,
    pub(super) expires: i64,
}

impl Held {
    pub(super) fn permanent(id: &str, key: &str) -> Self {
        Self {
            id: id.to_owned(),
            key: key.to_owned(),
            token: None,
            expires: i64::MAX,
        }
    }

    fn ops() -> Self {
        Self::permanent("AKIDops", "key-of-ops")
    }

    /// Reads the parts of an answer with a key.
    pub(super) fn read(key: &Value, expires: &Value) -> Self {
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        Self {
            id: text("TmpSecretId"),
            key: text("TmpSecretKey"),
            token: Some(text("Token")),
            expires: expires.as_i64().unwrap(),
        }
    }
}

impl Cloud {
    async fn start(scenario: &str) -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let read = Arc::clone(&now);
        let clock =
            Clock::new(move || Timestamp::from_second(read.load(Ordering::Relaxed)).unwrap());
        let running = RunningSimulator::start_at(scenario, clock).await;
        Self { running, now }
    }

    fn handle(&self) -> &Handle {
        &self.running.handle
    }

    fn set_time(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// The head and body of the answer to a request for instance metadata.
    async fn metadata(&self, path: &str) -> (String, Vec<u8>) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        split(&self.running.exchange(request.as_bytes()).await.unwrap())
    }

    async fn metadata_key(&self) -> Held {
        let (head, body) = self.metadata(&format!("{ROLES}CwpExporter")).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["Code"], "Success");
        Held::read(&body, &body["ExpiredTime"])
    }

    /// What a request to one of the APIs is answered with, below `Response`.
    async fn call(&self, signer: Option<&Held>, action: &str, body: &Value) -> Value {
        let now = self.now.load(Ordering::Relaxed);
        let (service, version) = match action {
            "DescribeLicenseGeneral" => ("cwp", "2018-02-28"),
            _ => ("sts", "2018-08-13"),
        };
        let body = body.to_string();
        let canonical = CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[("content-type", "application/json"), ("host", "a")],
            payload: body.as_bytes(),
        };
        let scope = CredentialScope::new(service, Timestamp::from_second(now).unwrap());
        let authorization = signer.map_or("SKIP".to_owned(), |held| {
            tc3::authorization(
                &held.id,
                &tc3::signing_key(&held.key, &scope),
                &scope,
                &canonical,
            )
        });
        let token = signer.and_then(|held| held.token.as_ref());
        let token = token.map_or(String::new(), |token| format!("X-TC-Token: {token}\r\n"));
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             X-TC-Action: {action}\r\nX-TC-Version: {version}\r\nX-TC-Region: ap-guangzhou\r\n\
             X-TC-Timestamp: {now}\r\nAuthorization: {authorization}\r\n{token}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = self.running.exchange(request.as_bytes()).await.unwrap();
        let mut body: Value = serde_json::from_slice(&split(&answer).1).unwrap();
        body["Response"].take()
    }

    /// `ok` or the code of the answer to a request for licences.
    async fn licences(&self, signer: &Held) -> String {
        let answer = self
            .call(Some(signer), "DescribeLicenseGeneral", &json!({}))
            .await;
        verdict(&answer)
    }

    async fn assume(&self, signer: &Held, more: Value) -> Result<Held, String> {
        let mut body = json!({
            "RoleArn": ARN, "RoleSessionName": "cwp-exporter", "ExternalId": "x-1",
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = self.call(Some(signer), "AssumeRole", &body).await;
        issued_key(&answer)
    }

    async fn assume_by_web(&self, provider: &str, token: &str) -> Result<Held, String> {
        let body = json!({
            "RoleArn": ARN, "RoleSessionName": "cwp-exporter",
            "ProviderId": provider, "WebIdentityToken": token,
        });
        let answer = self.call(None, "AssumeRoleWithWebIdentity", &body).await;
        issued_key(&answer)
    }
}

fn verdict(answer: &Value) -> String {
    let code = answer["Error"]["Code"].as_str();
    code.unwrap_or("ok").to_owned()
}

fn issued_key(answer: &Value) -> Result<Held, String> {
    match verdict(answer).as_str() {
        "ok" => Ok(Held::read(&answer["Credentials"], &answer["ExpiredTime"])),
        code => Err(code.to_owned()),
    }
}

#[tokio::test]
async fn metadata_have_the_role_and_a_key_that_works() {
    let cloud = Cloud::start(SCENARIO).await;
    let (head, body) = cloud.metadata(ROLES).await;
    assert!(head.contains("content-type: text/plain\r\n"), "{head}");
    assert_eq!(body, b"CwpExporter");
    let (_, body) = cloud.metadata(&format!("{ROLES}CwpExporter")).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 6);
    assert_eq!(body["ExpiredTime"], NOW + 600);
    assert_eq!(body["Expiration"], "2024-06-01T00:10:00Z");
    let key = cloud.metadata_key().await;
    assert_eq!(cloud.licences(&key).await, "ok");
    for path in ["Other", "CwpExporter/", "../", "cwpexporter"] {
        let (head, _) = cloud.metadata(&format!("{ROLES}{path}")).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
    }
    assert_eq!(cloud.handle().issued_keys("prod"), 1);
}

#[tokio::test]
async fn metadata_of_an_instance_without_a_role_are_not_found() {
    let cloud = Cloud::start(super::SCENARIO).await;
    for path in [ROLES.to_owned(), format!("{ROLES}CwpExporter")] {
        let (head, _) = cloud.metadata(&path).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
    let received = cloud.handle().received();
    assert!(received.iter().all(|one| one.verdict == "NotFound"));
}

#[tokio::test]
async fn metadata_have_a_new_key_after_half_a_lifetime_and_the_old_key_stays_valid() {
    let cloud = Cloud::start(SCENARIO).await;
    let first = cloud.metadata_key().await;
    cloud.set_time(NOW + 299);
    assert_eq!(cloud.metadata_key().await, first);
    cloud.set_time(NOW + 300);
    let second = cloud.metadata_key().await;
    assert_ne!(second, first);
    cloud.set_time(NOW + 599);
    assert_eq!(cloud.licences(&first).await, "ok");
    cloud.set_time(NOW + 600);
    assert_eq!(cloud.licences(&first).await, "AuthFailure.TokenFailure");
    assert_eq!(cloud.licences(&second).await, "ok");
    assert_eq!(cloud.handle().issued_keys("prod"), 2);
}

#[tokio::test]
async fn temporary_key_is_refused_without_its_own_token() {
    let cloud = Cloud::start(SCENARIO).await;
    let key = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    let other = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    assert_ne!(key.id, other.id);
    for token in [None, other.token.clone(), Some("x".to_owned())] {
        let tampered = Held {
            token,
            ..key.clone()
        };
        assert_eq!(cloud.licences(&tampered).await, "AuthFailure.TokenFailure");
    }
    let forged = Held {
        key: other.key.clone(),
        ..key.clone()
    };
    assert_eq!(
        cloud.licences(&forged).await,
        "AuthFailure.SignatureFailure"
    );
    assert_eq!(cloud.licences(&key).await, "ok");
}

#[tokio::test]
async fn role_is_assumed_for_as_long_as_asked_for() {
    let cloud = Cloud::start(SCENARIO).await;
    let key = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    assert_eq!(key.expires, NOW + 7_200);
    let asked = json!({"DurationSeconds": 900});
    let key = cloud.assume(&Held::ops(), asked.clone()).await.unwrap();
    assert_eq!(key.expires, NOW + 900);
    let short = Cloud::start(&format!("sts: {{lifetime: 3s}}{SCENARIO}")).await;
    let key = short.assume(&Held::ops(), asked).await.unwrap();
    assert_eq!(key.expires, NOW + 3);
}

#[tokio::test]
async fn role_is_assumed_only_by_those_it_trusts_and_with_its_external_id() {
    const DENIED: &str = "AuthFailure.UnauthorizedOperation";
    let cloud = Cloud::start(SCENARIO).await;
    let (ops, stranger) = (
        Held::ops(),
        Held::permanent("AKIDstranger", "key-of-stranger"),
    );
    for (caller, more, code) in [
        (&stranger, json!({}), DENIED),
        (&ops, json!({"ExternalId": "x-2"}), DENIED),
        (&ops, json!({"ExternalId": ""}), DENIED),
        (
            &ops,
            json!({"RoleArn": "qcs::cam::uin/1:roleName/Other"}),
            "ResourceNotFound.RoleNotFound",
        ),
        (
            &ops,
            json!({"RoleArn": "Other"}),
            "InvalidParameter.ParamError",
        ),
        (&ops, json!({"Roles": 1}), "UnknownParameter"),
        (
            &ops,
            json!({"DurationSeconds": 43_201}),
            "InvalidParameter.OverTimeError",
        ),
    ] {
        let refused = cloud.assume(caller, more.clone()).await;
        assert_eq!(refused, Err(code.to_owned()), "{more}");
    }
    assert_eq!(cloud.handle().issued_keys("prod"), 0);
    let key = cloud.assume(&ops, json!({})).await.unwrap();
    assert!(cloud.assume(&key, json!({})).await.is_ok(), "chained");
    let body = json!({"RoleArn": ARN, "RoleSessionName": "me"});
    let answer = cloud.call(Some(&ops), "AssumeRole", &body).await;
    let message = answer["Error"]["Message"].as_str().unwrap();
    assert!(message.contains(&format!("(sts:AssumeRole)\nresource ({ARN})")));
}

#[tokio::test]
async fn web_identity_is_exchanged_for_a_key() {
    const WRONG: &str = "InvalidParameter.WebIdentityTokenError";
    let cloud = Cloud::start(SCENARIO).await;
    let key = cloud.assume_by_web("tke", "first.web.token").await.unwrap();
    assert_eq!(cloud.licences(&key).await, "ok");
    for (provider, token) in [("gke", "first.web.token"), ("tke", "other")] {
        let refused = cloud.assume_by_web(provider, token).await;
        assert_eq!(refused, Err(WRONG.to_owned()));
    }
    cloud.handle().set_web_identity("prod", "second").unwrap();
    let refused = cloud.assume_by_web("tke", "first.web.token").await;
    assert_eq!(refused, Err(WRONG.to_owned()));
    assert!(cloud.assume_by_web("tke", "second").await.is_ok());
    assert!(cloud.handle().set_web_identity("ops", "x").is_err());
    let plain = Cloud::start(&SCENARIO.replace("    web_identity", "    # ")).await;
    let refused = plain.assume_by_web("tke", "first.web.token").await;
    assert_eq!(refused, Err(WRONG.to_owned()));
}

#[tokio::test]
async fn revoked_keys_are_refused_and_new_ones_work() {
    let cloud = Cloud::start(SCENARIO).await;
    let assumed = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    let shown = cloud.metadata_key().await;
    cloud.handle().revoke("prod").unwrap();
    for key in [&assumed, &shown] {
        assert_eq!(cloud.licences(key).await, "AuthFailure.TokenFailure");
    }
    let shown = cloud.metadata_key().await;
    let assumed = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    for key in [&assumed, &shown] {
        assert_eq!(cloud.licences(key).await, "ok");
    }
    assert_eq!(cloud.handle().issued_keys("prod"), 4);
    assert!(cloud.handle().revoke("nobody").is_err());
    assert_eq!(cloud.handle().issued_keys("nobody"), 0);
}

#[tokio::test]
async fn rate_of_a_role_is_counted_over_all_of_its_keys() {
    let limited = SCENARIO.replace("  - name: prod\n", "  - name: prod\n    rate_limit: 1\n");
    let cloud = Cloud::start(&limited).await;
    let ops = Held::ops();
    let first = cloud.assume(&ops, json!({})).await.unwrap();
    let second = cloud.assume(&ops, json!({})).await.unwrap();
    assert_eq!(cloud.licences(&first).await, "ok");
    assert_eq!(cloud.licences(&second).await, "RequestLimitExceeded");
    assert_eq!(cloud.licences(&ops).await, "ok");
    assert_eq!(cloud.licences(&ops).await, "ok");
    assert!(cloud.assume_by_web("tke", "first.web.token").await.is_ok());
    let refused = cloud.assume_by_web("tke", "first.web.token").await;
    assert_eq!(refused, Err("RequestLimitExceeded".to_owned()));
}

#[tokio::test]
async fn token_service_has_a_rate_limit_of_its_own() {
    let cloud = Cloud::start(&format!("sts: {{rate_limit: 1}}{SCENARIO}")).await;
    assert!(cloud.assume(&Held::ops(), json!({})).await.is_ok());
    let refused = cloud.assume(&Held::ops(), json!({})).await;
    assert_eq!(refused, Err("RequestLimitExceeded".to_owned()));
    assert_eq!(cloud.licences(&Held::ops()).await, "ok");
}

#[tokio::test]
async fn services_with_a_played_fault_issue_no_key() {
    let cloud = Cloud::start(SCENARIO).await;
    let error = Answer::Error {
        code: "InternalError.GetRoleError".to_owned(),
        message: String::new(),
    };
    cloud.handle().play_sts(Some(error.clone()));
    let refused = cloud.assume(&Held::ops(), json!({})).await;
    assert_eq!(refused, Err("InternalError.GetRoleError".to_owned()));
    cloud.handle().play_metadata(Some(error));
    let (_, body) = cloud.metadata(&format!("{ROLES}CwpExporter")).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["Code"], "InternalError.GetRoleError");
    assert_eq!(cloud.handle().issued_keys("prod"), 0);
    assert_eq!(cloud.licences(&Held::ops()).await, "ok");
    cloud.handle().play_sts(None);
    cloud.handle().play_metadata(None);
    assert!(cloud.assume(&Held::ops(), json!({})).await.is_ok());
    cloud.handle().play_metadata(Some(Answer::Cut(5)));
    let (_, body) = cloud.metadata(&format!("{ROLES}CwpExporter")).await;
    assert_eq!(body, b"{\"Cod");
    cloud.handle().wait_for_sts(2).await;
    cloud.handle().wait_for_metadata(2).await;
}

#[tokio::test]
async fn services_fail_as_scripted() {
    let cloud =
        Cloud::start(&SCENARIO.replace("lifetime: 10m", "timeline: [{at: 0s, cut: 3}]")).await;
    let (_, body) = cloud.metadata(ROLES).await;
    assert_eq!(body, b"Cwp");
    let sts = "sts: {timeline: [{at: 0s, error: {code: InternalError.GetRoleError}}]}";
    let cloud = Cloud::start(&format!("{sts}{SCENARIO}")).await;
    let refused = cloud.assume(&Held::ops(), json!({})).await;
    assert_eq!(refused, Err("InternalError.GetRoleError".to_owned()));
    assert_eq!(cloud.licences(&Held::ops()).await, "ok");
}

#[tokio::test]
async fn received_shows_all_services() {
    let cloud = Cloud::start(SCENARIO).await;
    cloud.metadata(ROLES).await;
    let key = cloud.assume(&Held::ops(), json!({})).await.unwrap();
    let _ = cloud.assume_by_web("tke", "wrong").await;
    cloud.licences(&key).await;
    let received = cloud.handle().received();
    let received: Vec<_> = received
        .iter()
        .map(|one| (one.account.as_deref(), one.action.as_deref(), one.verdict))
        .collect();
    assert_eq!(
        received,
        [
            (Some("prod"), Some(ROLES), "ok"),
            (Some("ops"), Some("AssumeRole"), "ok"),
            (
                Some("prod"),
                Some("AssumeRoleWithWebIdentity"),
                "InvalidParameter.WebIdentityTokenError"
            ),
            (Some("prod"), Some("DescribeLicenseGeneral"), "ok"),
        ]
    );
    let state = cloud.handle().state.lock();
    assert_eq!(state.tenants.named("prod").unwrap().requests, 1);
}
