use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::super::cloud_state::Parameters;
use super::super::headers::{language, secret_id};
use super::super::key::{Permissions, SimulatedKey};
use super::super::refusal::Language;
use super::*;

mod sts;

const NOW: i64 = 1_717_200_000;
const KEY: &str = "ExampleSecretKey0123456789abcdef";
const ID: &str = "AKIDEXAMPLE00000000000000000000000001";

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    input: Input,
    expect: Expect,
}

#[derive(serde::Deserialize)]
struct Input {
    secret_id: String,
    secret_key: String,
    token: Option<String>,
    timestamp: i64,
    host: String,
    action: String,
    version: String,
    payload: String,
}

#[derive(serde::Deserialize)]
struct Expect {
    content_type: String,
    authorization: String,
}

/// A request that can be tampered with.
struct Sample {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
    now: i64,
    claim: Option<Claim>,
}

impl Sample {
    fn of(vector: &Vector) -> Self {
        let (input, expect) = (&vector.input, &vector.expect);
        let timestamp = input.timestamp.to_string();
        let mut sample = Self {
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: input.payload.clone().into_bytes(),
            now: input.timestamp,
            claim: Some(claim(
                &input.secret_id,
                &input.secret_key,
                input.token.as_deref(),
            )),
        };
        sample.set("host", &input.host);
        sample.set("content-type", &expect.content_type);
        sample.set("authorization", &expect.authorization);
        sample.set("x-tc-action", &input.action);
        sample.set("x-tc-version", &input.version);
        sample.set("x-tc-timestamp", &timestamp);
        if let Some(token) = &input.token {
            sample.set("x-tc-token", token);
        }
        sample
    }

    fn good() -> Self {
        Self::of(&vector("empty-object"))
    }

    /// Signs anew, with `headers` and their own values.
    fn sign(&mut self, signed: &[&'static str], service: &str, value: fn(&str) -> String) {
        let values: Vec<String> = signed
            .iter()
            .map(|&name| value(self.headers[name].to_str().unwrap()))
            .collect();
        let headers: Vec<(&str, &str)> = signed
            .iter()
            .copied()
            .zip(values.iter().map(String::as_str))
            .collect();
        let timestamp: i64 = self.headers["x-tc-timestamp"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let scope = CredentialScope::new(service, Timestamp::from_second(timestamp).unwrap());
        let request = CanonicalRequest {
            method: "POST",
            query: "",
            headers: &headers,
            payload: &self.body,
        };
        let authorization =
            tc3::authorization(ID, &tc3::signing_key(KEY, &scope), &scope, &request);
        self.set("authorization", &authorization);
    }

    fn set(&mut self, name: &'static str, value: &str) {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
    }

    fn replace_authorization(&mut self, from: &str, to: &str) {
        let value = self.headers["authorization"].to_str().unwrap().to_owned();
        assert!(value.contains(from), "{value}");
        self.set("authorization", &value.replace(from, to));
    }

    fn verdict(&self) -> &'static str {
        let request = ReceivedRequest {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            body: &self.body,
        };
        let now = Timestamp::from_second(self.now).unwrap();
        match authenticate(&request, now, self.claim.as_ref(), &HashSet::new())
            .and_then(|action| Parameters::read(&action, &self.body))
        {
            Ok(_) => "ok",
            Err(refusal) => refusal.code,
        }
    }
}

fn claim(secret_id: &str, secret_key: &str, token: Option<&str>) -> Claim {
    Claim {
        tenant: 0,
        key: Arc::new(SimulatedKey {
            secret_id: secret_id.to_owned(),
            secret_key: secret_key.to_owned(),
            token: token.map(str::to_owned),
        }),
        status: KeyStatus::Good,
        permissions: Permissions::default(),
    }
}

impl Claim {
    fn allowing(mut self, patterns: &[&str]) -> Self {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned());
        self.permissions = Permissions::new(Some(patterns.collect()));
        self
    }
}

fn vector(name: &str) -> Vector {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../../tests/fixtures/tc3/vectors.json")).unwrap();
    vectors
        .into_iter()
        .find(|vector| vector.name == name)
        .unwrap()
}

/// Tampers with a good request.
fn tampered(tamper: impl FnOnce(&mut Sample)) -> &'static str {
    let mut sample = Sample::good();
    tamper(&mut sample);
    sample.verdict()
}

#[test]
fn requests_signed_by_the_vendor_pass() {
    for name in [
        "empty-object",
        "temporary-token",
        "host-international",
        "host-with-port",
        "utc-day-last-second",
    ] {
        assert_eq!(Sample::of(&vector(name)).verdict(), "ok", "{name}");
    }
}

#[test]
fn request_for_a_role_signed_by_the_vendor_passes() {
    let mut sample = Sample::of(&vector("sts-assume-role"));
    sample.set("x-tc-region", "ap-guangzhou");
    assert_eq!(sample.verdict(), "ok");
}

#[test]
fn other_actions_and_services_are_refused() {
    assert_eq!(
        Sample::of(&vector("list-ascii-filter")).verdict(),
        "InvalidAction"
    );
    let mut other = Sample::of(&vector("sts-assume-role"));
    other.set("x-tc-version", "2018-02-28");
    assert_eq!(other.verdict(), "NoSuchVersion");
    let service = tampered(|s| s.sign(&["content-type", "host"], "sts", str::to_owned));
    assert_eq!(service, "AuthFailure.InvalidAuthorization");
}

#[test]
fn request_of_another_form_is_refused() {
    assert_eq!(tampered(|s| s.method = Method::GET), "InvalidRequest");
    assert_eq!(tampered(|s| s.method = Method::PUT), "UnsupportedProtocol");
    assert_eq!(
        tampered(|s| s.uri = Uri::from_static("/v2")),
        "InvalidRequest"
    );
    assert_eq!(
        tampered(|s| s.uri = Uri::from_static("/?a=b")),
        "InvalidRequest"
    );
    assert_eq!(
        tampered(|s| s.body = vec![b' '; MAX_BODY + 1]),
        "RequestSizeLimitExceeded"
    );
}

#[test]
fn missing_header_is_named() {
    for (header, code) in [
        ("x-tc-action", "MissingParameter"),
        ("x-tc-version", "NoSuchVersion"),
        ("x-tc-timestamp", "MissingParameter"),
        ("authorization", "MissingParameter"),
        ("content-type", "MissingParameter"),
        ("host", "AuthFailure.InvalidAuthorization"),
    ] {
        let verdict = tampered(|s| assert!(s.headers.remove(header).is_some()));
        assert_eq!(verdict, code, "{header}");
    }
    let refusal = Refusal::missing("Timestamp");
    assert!(refusal.message(Language::English).contains("`Timestamp`"));
}

#[test]
fn header_that_comes_twice_or_is_not_ascii_is_refused() {
    let twice = tampered(|s| {
        s.headers
            .append("host", HeaderValue::from_static("cwp.tencentcloudapi.com"));
    });
    assert_eq!(twice, "InvalidRequest");
    assert_eq!(tampered(|s| s.set("x-tc-action", "é")), "InvalidRequest");
}

#[test]
fn version_must_be_the_products() {
    assert_eq!(
        tampered(|s| s.set("x-tc-version", "2018-08-13")),
        "NoSuchVersion"
    );
}

#[test]
fn timestamp_must_be_an_integer() {
    for value in ["soon", "1.5", "+1717200000", "-1", "99999999999999999999"] {
        assert_eq!(
            tampered(|s| s.set("x-tc-timestamp", value)),
            "InvalidParameterValue"
        );
    }
    let far = tampered(|s| s.set("x-tc-timestamp", "9223372036854775807"));
    assert_eq!(far, "AuthFailure.SignatureExpire");
}

#[test]
fn signature_expires_after_five_minutes_either_way() {
    for (skew, verdict) in [
        (-301, "AuthFailure.SignatureExpire"),
        (-300, "ok"),
        (300, "ok"),
        (301, "AuthFailure.SignatureExpire"),
    ] {
        assert_eq!(tampered(|s| s.now = NOW + skew), verdict, "{skew} s");
    }
}

#[test]
fn authorization_of_another_form_is_refused() {
    for (from, to) in [
        ("TC3-HMAC-SHA256 ", "TC3-HMAC-SHA1 "),
        ("TC3-HMAC-SHA256 ", "TC3-HMAC-SHA256"),
        (", SignedHeaders", ",SignedHeaders"),
        ("/tc3_request", ""),
        ("/tc3_request", "/tc4_request"),
        ("/tc3_request", "/tc3_request/more"),
        ("Credential=AKID", "Credential=,"),
        ("Signature=b", "Signature="),
        ("Signature=b", "Signature=B"),
        ("Signature=b", "signature=b"),
        ("Signature=ba", "Signature=éé"),
        ("2024-06-01", "2024-6-1"),
        ("2024-06-01", "2024-06-02"),
        ("/cwp/", "/cvm/"),
        ("content-type;host", "host;content-type"),
        ("content-type;host", "Content-Type;Host"),
        ("content-type;host", "content-type;content-type;host"),
        ("content-type;host", "content-type"),
        ("content-type;host", "host"),
        ("content-type;host", ""),
        ("content-type;host", "content-type;host;x-tc-nonce"),
    ] {
        let verdict = tampered(|s| s.replace_authorization(from, to));
        let expected = if to.contains('é') {
            "InvalidRequest"
        } else {
            "AuthFailure.InvalidAuthorization"
        };
        assert_eq!(verdict, expected, "{from} -> {to}");
    }
    let other = tampered(|s| s.set("authorization", "SKIP"));
    assert_eq!(other, "AuthFailure.InvalidAuthorization");
}

#[test]
fn signed_parts_must_not_change() {
    const FAILURE: &str = "AuthFailure.SignatureFailure";
    assert_eq!(
        tampered(|s| s.set("host", "cwp.tencentcloudapi.com:443")),
        FAILURE
    );
    let charset = tampered(|s| s.set("content-type", "application/json; charset=utf-8"));
    assert_eq!(charset, FAILURE);
    assert_eq!(tampered(|s| s.body = b"{ }".to_vec()), FAILURE);
    assert_eq!(tampered(|s| s.set("x-tc-timestamp", "1717200001")), FAILURE);
    assert_eq!(
        tampered(|s| s.replace_authorization("Signature=b", "Signature=c")),
        FAILURE
    );
    let key = |s: &mut Sample| s.claim = Some(claim(ID, "other", None));
    assert_eq!(tampered(key), FAILURE);
}

#[test]
fn more_headers_may_be_signed_as_sent_or_in_lower_case() {
    let signed = ["content-type", "host", "x-tc-action"];
    assert_eq!(tampered(|s| s.sign(&signed, "cwp", str::to_owned)), "ok");
    assert_eq!(
        tampered(|s| s.sign(&signed, "cwp", str::to_lowercase)),
        "ok"
    );
    let upper = tampered(|s| s.sign(&signed, "cwp", str::to_uppercase));
    assert_eq!(upper, "AuthFailure.SignatureFailure");
}

#[test]
fn unknown_secret_id_is_not_found() {
    assert_eq!(tampered(|s| s.claim = None), "AuthFailure.SecretIdNotFound");
    let other = |s: &mut Sample| s.claim = Some(claim("AKIDother", KEY, None));
    assert_eq!(tampered(other), "AuthFailure.SecretIdNotFound");
}

#[test]
fn token_must_be_the_accounts() {
    const FAILURE: &str = "AuthFailure.TokenFailure";
    assert_eq!(tampered(|s| s.set("x-tc-token", "token")), FAILURE);
    let token = |s: &mut Sample| s.claim = Some(claim(ID, KEY, Some("token")));
    assert_eq!(tampered(token), FAILURE);
    let wrong = tampered(|s| {
        token(s);
        s.set("x-tc-token", "other");
    });
    assert_eq!(wrong, FAILURE);
    let right = tampered(|s| {
        token(s);
        s.set("x-tc-token", "token");
    });
    assert_eq!(right, "ok");
}

#[test]
fn expired_and_revoked_keys_need_another_token() {
    for (status, expected) in [
        (KeyStatus::Good, "ok"),
        (KeyStatus::Expired, "AuthFailure.TokenFailure"),
        (KeyStatus::Revoked, "AuthFailure.TokenFailure"),
    ] {
        let verdict = tampered(|s| s.claim.as_mut().unwrap().status = status);
        assert_eq!(verdict, expected, "{status:?}");
    }
    let forged = tampered(|s| {
        s.claim = Some(Claim {
            status: KeyStatus::Expired,
            ..claim(ID, "other", None)
        });
    });
    assert_eq!(forged, "AuthFailure.SignatureFailure");
}

#[test]
fn action_must_be_allowed() {
    for (allow, verdict) in [
        (vec![], "AuthFailure.UnauthorizedOperation"),
        (
            vec!["cwp:DescribeLicenseList"],
            "AuthFailure.UnauthorizedOperation",
        ),
        (vec!["cvm:*", "cwp:DescribeLicenseGeneral"], "ok"),
        (vec!["cwp:*"], "ok"),
        (vec!["*"], "ok"),
    ] {
        let allowed = |s: &mut Sample| {
            s.claim = Some(claim(ID, KEY, None).allowing(&allow));
        };
        assert_eq!(tampered(allowed), verdict, "{allow:?}");
    }
}

#[test]
fn forged_request_learns_nothing_of_permissions() {
    let forged = tampered(|s| {
        s.claim = Some(claim(ID, "other", None).allowing(&[]));
    });
    assert_eq!(forged, "AuthFailure.SignatureFailure");
}

#[test]
fn body_is_an_empty_object() {
    for (body, verdict) in [
        ("{}", "ok"),
        (" {\n} ", "ok"),
        ("{\"Limit\":1}", "UnknownParameter"),
        ("", "InvalidParameter"),
        ("[]", "InvalidParameter"),
        ("null", "InvalidParameter"),
        ("{} {}", "InvalidParameter"),
    ] {
        let signed = tampered(|s| {
            s.body = body.into();
            s.sign(&["content-type", "host"], "cwp", str::to_owned);
        });
        assert_eq!(signed, verdict, "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        parameters(deep.as_bytes()).unwrap_err().code,
        "InvalidParameter"
    );
}

#[test]
fn claimed_secret_id_is_known_before_the_signature_is() {
    let mut sample = Sample::good();
    sample.replace_authorization("Signature=b", "Signature=c");
    assert_eq!(secret_id(&sample.headers), Some(ID));
    sample.set("authorization", "SKIP");
    assert_eq!(secret_id(&sample.headers), None);
}

#[test]
fn messages_are_chinese_on_request() {
    let mut sample = Sample::good();
    assert_eq!(language(&sample.headers), Language::English);
    sample.set("x-tc-language", "zh-CN");
    assert_eq!(language(&sample.headers), Language::Chinese);
}
