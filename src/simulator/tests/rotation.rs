//! Keys that change with the scenario's time, which need not be waited for.

use super::keys::{Held, ROLES, SCENARIO};
use super::*;

/// The verdict of the state itself, at times that need not be waited for.
fn verdict_at(state: &SimulatorState, start: Instant, after: u64, held: &Held) -> &'static str {
    let time = Timestamp::from_second(NOW).unwrap();
    let mut headers = http::HeaderMap::new();
    let canonical = CanonicalRequest {
        method: "POST",
        query: "",
        headers: &[("content-type", "application/json"), ("host", "a")],
        payload: b"{}",
    };
    let scope = CredentialScope::new("cwp", time);
    let authorization = tc3::authorization(
        &held.id,
        &tc3::signing_key(&held.key, &scope),
        &scope,
        &canonical,
    );
    for (name, value) in [
        ("host", "a"),
        ("content-type", "application/json"),
        ("x-tc-action", "DescribeLicenseGeneral"),
        ("x-tc-version", "2018-02-28"),
        ("x-tc-timestamp", &NOW.to_string()),
        ("x-tc-token", held.token.as_deref().unwrap_or_default()),
        ("authorization", &authorization),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let request = verify::ReceivedRequest {
        method: &http::Method::POST,
        uri: &http::Uri::from_static("/"),
        headers: &headers,
        body: b"{}",
    };
    let at = start + Duration::from_secs(after);
    state
        .decide(&request, at)
        .map_or_else(|refusal| refusal.code, |_| "ok")
}

fn state(scenario: &str) -> (SimulatorState, Instant) {
    let clock = Clock::new(|| Timestamp::from_second(NOW).unwrap());
    let state = SimulatorState::new(Scenario::parse(scenario).unwrap(), clock);
    let start = Instant::now();
    state.start(start);
    (state, start)
}

const ROTATING: &str = "
repeat: 60s
accounts:
  - name: prod
    secret_id: AKIDfirst
    secret_key: k1
    timeline:
      - {at: 10s, rotate: {secret_key: k2}}
      - {at: 20s, rotate: {secret_id: AKIDsecond, secret_key: k3, token: t3}}
";

#[test]
fn scripted_rotation_replaces_the_key_at_its_time_and_in_every_round() {
    const WRONG: &str = "AuthFailure.SignatureFailure";
    const UNKNOWN: &str = "AuthFailure.SecretIdNotFound";
    let (state, start) = state(ROTATING);
    let first = Held::permanent("AKIDfirst", "k1");
    let second = Held::permanent("AKIDfirst", "k2");
    let third = Held {
        token: Some("t3".to_owned()),
        ..Held::permanent("AKIDsecond", "k3")
    };
    for (after, verdicts) in [
        (9, ["ok", WRONG, UNKNOWN]),
        (10, [WRONG, "ok", UNKNOWN]),
        (20, [UNKNOWN, UNKNOWN, "ok"]),
        (60, ["ok", WRONG, UNKNOWN]),
        (85, [UNKNOWN, UNKNOWN, "ok"]),
    ] {
        let seen = [&first, &second, &third].map(|key| verdict_at(&state, start, after, key));
        assert_eq!(seen, verdicts, "after {after} s");
    }
}

#[test]
fn secret_set_by_hand_outlasts_the_timeline() {
    let (state, start) = state(ROTATING);
    let handle = Handle {
        state: Arc::new(state),
    };
    handle.set_secret("prod", "by-hand", None).unwrap();
    let by_hand = Held::permanent("AKIDfirst", "by-hand");
    for after in [0, 10, 20, 60] {
        assert_eq!(verdict_at(&handle.state, start, after, &by_hand), "ok");
    }
}

#[test]
fn scripted_revocation_refuses_earlier_keys() {
    let scenario = SCENARIO.replace(
        "    fields:",
        "    timeline: [{at: 10s, revoke: true}]\n    fields:",
    );
    let (state, start) = state(&scenario);
    let shown = |after| {
        let request = verify::ReceivedRequest {
            method: &http::Method::GET,
            uri: &format!("{ROLES}CwpExporter").parse().unwrap(),
            headers: &http::HeaderMap::new(),
            body: b"",
        };
        let at = start + Duration::from_secs(after);
        let (_, content) = state.decide(&request, at).unwrap();
        let reply::ReplyContent::Plain(_, body) = content else {
            panic!("not metadata");
        };
        let body: Value = serde_json::from_str(&body).unwrap();
        Held::read(&body, &body["ExpiredTime"])
    };
    let before = shown(9);
    assert_eq!(verdict_at(&state, start, 9, &before), "ok");
    assert_eq!(
        verdict_at(&state, start, 10, &before),
        "AuthFailure.TokenFailure"
    );
    let after = shown(10);
    assert_ne!(after, before);
    assert_eq!(verdict_at(&state, start, 10, &after), "ok");
}

#[test]
fn ten_thousand_accounts_fit_in_three_lines() {
    let (state, start) = state(
        "accounts:
  - {count: 10000, name: 'a{n}', secret_id: 'AKIDa{n}', secret_key: 'key-{n}'}
",
    );
    for number in [0, 1, 9_999] {
        let held = Held::permanent(&format!("AKIDa{number}"), &format!("key-{number}"));
        assert_eq!(verdict_at(&state, start, 0, &held), "ok");
        let cloud = state.lock();
        let tenant = cloud.tenants.named(&format!("a{number}")).unwrap();
        assert_eq!(tenant.requests, 1);
    }
    let beyond = Held::permanent("AKIDa10000", "key-10000");
    let verdict = verdict_at(&state, start, 0, &beyond);
    assert_eq!(verdict, "AuthFailure.SecretIdNotFound");
}
