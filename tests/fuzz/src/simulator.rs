//! The simulated API accepts a request where, and only where, an independent check of its
//! signature does, and refuses what differs from such a request where it may not.
//!
//! The first part of an input is the headers, the second the body. In `Authorization`, `{sign}`
//! stands for the right signature.

use std::cell::RefCell;

use cwp_exporter::simulator::{Scenario, Simulator};
use cwp_exporter::system::clock::Clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::exchange::{Exchange, headers};
use crate::input::parts;

/// The time of the simulated API: the first of June 2024.
const NOW: i64 = 1_717_200_000;

const KEY: &str = "hunter2-secret-key-of-the-account";

const SCENARIO: &str = "
rate_limit: 4294967295
accounts:
  - {name: a, secret_id: AKIDfuzz, secret_key: hunter2-secret-key-of-the-account, rate_limit: 4294967295}
";

type Headers = [(HeaderName, HeaderValue)];

thread_local! {
    static SIMULATOR: RefCell<Exchange> = RefCell::new(
        simulator(Scenario::parse(SCENARIO).expect("the scenario is good"))
    );
}

/// The simulated API, at [`NOW`] for ever.
fn simulator(scenario: Scenario) -> Exchange {
    Exchange::with(async || {
        let clock = Clock::new(|| Timestamp::from_second(NOW).expect("a time"));
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let simulator = Simulator::bind(anywhere, scenario, clock)
            .await
            .expect("a free port");
        let address = simulator.local_addr();
        tokio::spawn(simulator.run_until(std::future::pending()));
        address
    })
}

/// What the account with this key, of this scenario, is answered to an action at first.
pub fn first_answer(scenario: Scenario, action: &str, (id, key): (&str, &str)) -> Value {
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential={id}/2024-06-01/cwp/tc3_request, \
         SignedHeaders=content-type;host, Signature={{sign}}"
    );
    let (now, body) = (NOW.to_string(), b"{}");
    let headers = [
        ("host", "cwp.tencentcloudapi.com"),
        ("content-type", "application/json"),
        ("x-tc-action", action),
        ("x-tc-version", "2018-02-28"),
        ("x-tc-timestamp", &now),
        ("authorization", &authorization),
    ];
    let mut headers = headers.map(|(name, value)| {
        let value = HeaderValue::from_str(value).expect("ASCII");
        (HeaderName::from_static(name), value)
    });
    sign(&mut headers, body, key);
    let answer = simulator(scenario).ask("POST /", &headers, body);
    serde_json::from_slice(&answer.body).expect("the answer is JSON")
}

pub fn run(input: &[u8]) {
    let mut parts = parts(input);
    let mut headers = headers(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let unsigned = headers.clone();
    sign(&mut headers, body, KEY);
    let answer = ask(&headers, body);
    let code = answer["Response"]["Error"]["Code"].as_str();
    match code {
        None => {
            assert!(is_authentic(&headers, body).is_some(), "accepted: {answer}");
            if headers != unsigned {
                check_another(unsigned, body, input);
            }
        }
        Some(code) => {
            let is_good =
                is_authentic(&headers, body) == Some("DescribeLicenseGeneral") && is_empty(body);
            assert!(!is_good, "refused: {answer}");
            assert!(code != "InternalError", "{answer}");
        }
    }
}

fn ask(headers: &Headers, body: &[u8]) -> Value {
    let answer = SIMULATOR.with_borrow_mut(|simulator| simulator.ask("POST /", headers, body));
    assert_eq!(answer.status, 200);
    let shown = answer.body.escape_ascii().to_string();
    assert!(!shown.contains(KEY), "{shown}");
    let answer: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    assert!(answer["Response"]["RequestId"].is_string(), "{answer}");
    answer
}

/// Changes a request that is accepted once it is signed in one respect, which `input` chooses.
/// It is refused then.
fn check_another(mut headers: Vec<(HeaderName, HeaderValue)>, body: &[u8], input: &[u8]) {
    let choice = input.iter().copied().map(usize::from).sum::<usize>() % 6;
    let change = |headers: &mut Headers, name: &str, change: &dyn Fn(&str) -> String| {
        for (known, value) in headers {
            if known == name {
                let changed = change(value.to_str().expect("it was accepted"));
                *value = HeaderValue::from_str(&changed).expect("ASCII");
            }
        }
    };
    match choice {
        0 => change(&mut headers, "x-tc-timestamp", &|_| (NOW + 301).to_string()),
        1 => {
            change(&mut headers, "x-tc-timestamp", &|_| (NOW - 301).to_string());
            let yesterday = |value: &str| value.replace("2024-06-01", "2024-05-31");
            change(&mut headers, "authorization", &yesterday);
        }
        2 => change(&mut headers, "authorization", &|value| {
            let (start, rest) = value.split_once("SignedHeaders=").expect("it was accepted");
            let (names, end) = rest.split_once(", ").expect("it was accepted");
            let names: Vec<&str> = names.split(';').rev().collect();
            format!("{start}SignedHeaders={}, {end}", names.join(";"))
        }),
        3 => {
            let token = HeaderValue::from_static("token");
            headers.retain(|(name, _)| name != "x-tc-token");
            headers.push((HeaderName::from_static("x-tc-token"), token));
        }
        _ => {}
    }
    sign(&mut headers, body, KEY);
    if choice == 4 {
        change(&mut headers, "authorization", &|value| {
            let last = if value.ends_with('0') { '1' } else { '0' };
            format!("{}{last}", &value[..value.len() - 1])
        });
    }
    let more = [body, b" "].concat();
    let answer = ask(&headers, if choice == 5 { &more } else { body });
    let is_refused = answer["Response"]["Error"]["Code"].is_string();
    assert!(is_refused, "accepted: {headers:?} {answer}");
}

fn is_empty(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.as_object().is_some_and(serde_json::Map::is_empty))
}

/// Puts the right signature where `{sign}` is.
fn sign(headers: &mut Headers, body: &[u8], key: &str) {
    let Some((_, value)) = headers.iter().find(|(name, _)| name == "authorization") else {
        return;
    };
    let Some(text) = value.to_str().ok().filter(|text| text.contains("{sign}")) else {
        return;
    };
    let (Some(scope), Some(names)) = (
        between(text, "/", ", SignedHeaders="),
        between(text, ", SignedHeaders=", ", Signature="),
    ) else {
        return;
    };
    let seconds = once(headers, "x-tc-timestamp").unwrap_or_default();
    let signed = Signed {
        headers,
        body,
        scope,
        names,
        seconds,
    };
    let Some(signature) = signed.signature(key, false) else {
        return;
    };
    let signed = text.replace("{sign}", &signature);
    for (name, value) in headers {
        if name == "authorization" {
            *value = HeaderValue::from_str(&signed).expect("ASCII");
        }
    }
}

/// The action, if the request is authentic.
fn is_authentic<'a>(headers: &'a Headers, body: &[u8]) -> Option<&'a str> {
    let action = once(headers, "x-tc-action")?;
    let seconds = once(headers, "x-tc-timestamp")?;
    let time: i64 = seconds.parse().ok()?;
    let is_near = (time - NOW).abs() <= 300 && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let content_type = once(headers, "content-type")?;
    let (essence, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    let is_json = essence.trim().eq_ignore_ascii_case("application/json");
    let is_right_version = once(headers, "x-tc-version") == Some("2018-02-28");
    let has_token = headers
        .iter()
        .any(|(name, value)| name == "x-tc-token" && !value.is_empty());
    let authorization = once(headers, "authorization")?;
    let date = Timestamp::from_second(time)
        .ok()?
        .strftime("%Y-%m-%d")
        .to_string();
    let scope = format!("{date}/cwp/tc3_request");
    let start = format!("TC3-HMAC-SHA256 Credential=AKIDfuzz/{scope}, SignedHeaders=");
    let (names, signature_sent) = authorization
        .strip_prefix(&start)?
        .split_once(", Signature=")?;
    let list: Vec<&str> = names.split(';').collect();
    let is_sorted = list.windows(2).all(|pair| pair[0] < pair[1]);
    let is_lower = names
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b";-".contains(&byte));
    let is_complete = list.contains(&"content-type") && list.contains(&"host");
    let has_names = list.iter().all(|name| !name.is_empty());
    let signed = Signed {
        headers,
        body,
        scope: &scope,
        names,
        seconds,
    };
    let mut signatures = [false, true]
        .into_iter()
        .filter_map(|lower| signed.signature(KEY, lower));
    let is_signed = signatures.any(|signature| signature == signature_sent);
    let is_good = is_near
        && is_json
        && is_right_version
        && !has_token
        && is_sorted
        && is_lower
        && is_complete
        && has_names
        && is_signed;
    is_good.then_some(action)
}

/// The value of a header that comes once.
fn once<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(known, _)| known == name);
    let (_, value) = values.next()?;
    let value = value.to_str().ok()?.trim();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// What is signed.
struct Signed<'a> {
    headers: &'a Headers,
    body: &'a [u8],
    scope: &'a str,
    /// The names of the headers that are signed.
    names: &'a str,
    seconds: &'a str,
}

impl Signed<'_> {
    /// TC3-HMAC-SHA256 as the documentation of the API describes it.
    fn signature(&self, key: &str, lower: bool) -> Option<String> {
        let (scope, names, seconds) = (self.scope, self.names, self.seconds);
        let mut canonical = "POST\n/\n\n".to_owned();
        for name in names.split(';') {
            let mut values = self.headers.iter().filter(|(known, _)| known == name);
            let (_, value) = values.next()?;
            let mut value = value.to_str().ok()?.trim().to_owned();
            if values.next().is_some() {
                return None;
            }
            if lower {
                value.make_ascii_lowercase();
            }
            canonical += &format!("{name}:{value}\n");
        }
        canonical += &format!("\n{names}\n{}", hex(&Sha256::digest(self.body)));
        let text = format!(
            "TC3-HMAC-SHA256\n{seconds}\n{scope}\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut parts = scope.split('/');
        let (date, service) = (parts.next()?, parts.next()?);
        let key = mac(format!("TC3{key}").as_bytes(), date);
        let key = mac(&mac(&key, service), "tc3_request");
        Some(hex(&mac(&key, &text)))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
