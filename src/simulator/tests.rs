//! The simulator over real sockets, written to by hand.

use std::io::Read as _;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::cloud::tc3::{self, CanonicalRequest, CredentialScope};

mod keys;
mod rotation;

const SCENARIO: &str = "
rate_limit: 1000
accounts:
  - name: prod
    secret_id: AKIDprod
    secret_key: key-of-prod
    fields: {LicenseCnt: 100}
  - name: other
    secret_id: AKIDother
    secret_key: key-of-other
";

const NOW: i64 = 1_717_200_000;

struct RunningSimulator {
    address: SocketAddr,
    handle: Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningSimulator {
    async fn start(scenario: &str) -> Self {
        let clock = Clock::new(|| Timestamp::from_second(NOW).unwrap());
        Self::start_at(scenario, clock).await
    }

    async fn start_at(scenario: &str, clock: Clock) -> Self {
        let scenario = Scenario::parse(scenario).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::bind(address, scenario, clock).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        Self {
            address: simulator.local_addr(),
            handle: simulator.handle(),
            stop,
            task: tokio::spawn(simulator.run_until(async {
                let _ = stopped.await;
            })),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads whatever comes until the connection ends.
    async fn exchange(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    /// The head and body of the answer to a good request of `prod`.
    async fn ask(&self) -> (String, Vec<u8>) {
        split(
            &self
                .exchange(&request("prod", "key-of-prod", ""))
                .await
                .unwrap(),
        )
    }

    async fn ask_json(&self) -> Value {
        serde_json::from_slice(&self.ask().await.1).unwrap()
    }

    fn play(&self, answer: Answer) {
        self.handle.play("prod", answer).unwrap();
    }
}

/// A signed request, with further header lines.
fn request(name: &str, key: &str, more: &str) -> Vec<u8> {
    let headers = [
        ("content-type", "application/json"),
        ("host", "cwp.example"),
    ];
    let canonical = CanonicalRequest {
        method: "POST",
        query: "",
        headers: &headers,
        payload: b"{}",
    };
    let scope = CredentialScope::new("cwp", Timestamp::from_second(NOW).unwrap());
    let authorization = tc3::authorization(
        &format!("AKID{name}"),
        &tc3::signing_key(key, &scope),
        &scope,
        &canonical,
    );
    format!(
        "POST / HTTP/1.1\r\nHost: cwp.example\r\nContent-Type: application/json\r\n\
         X-TC-Action: DescribeLicenseGeneral\r\nX-TC-Version: 2018-02-28\r\n\
         X-TC-Timestamp: {NOW}\r\nAuthorization: {authorization}\r\nContent-Length: 2\r\n\
         {more}Connection: close\r\n\r\n{{}}"
    )
    .into_bytes()
}

fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let (head, body) = answer.split_at(end + 4);
    (String::from_utf8(head.to_vec()).unwrap(), body.to_vec())
}

fn code(answer: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(&split(answer).1).unwrap();
    body["Response"]["Error"]["Code"].clone()
}

#[tokio::test]
async fn good_request_gets_the_accounts_fields() {
    let running = RunningSimulator::start(SCENARIO).await;
    let (head, body) = running.ask().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("date: Sat, 01 Jun 2024 00:00:00 GMT\r\n"),
        "{head}"
    );
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["Response"]["LicenseCnt"], 100);
    let id = body["Response"]["RequestId"].clone();
    assert_eq!(id.as_str().unwrap().len(), 36);
    assert_ne!(running.ask_json().await["Response"]["RequestId"], id);
}

#[tokio::test]
async fn refused_request_gets_status_200_and_is_recorded() {
    let running = RunningSimulator::start(SCENARIO).await;
    let forged = running
        .exchange(&request("prod", "wrong", ""))
        .await
        .unwrap();
    assert!(forged.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(code(&forged), "AuthFailure.SignatureFailure");
    let stranger = request("nobody", "wrong", "X-TC-Language: zh-CN\r\n");
    let stranger = running.exchange(&stranger).await.unwrap();
    assert_eq!(code(&stranger), "AuthFailure.SecretIdNotFound");
    assert!(
        String::from_utf8(stranger)
            .unwrap()
            .contains("SecretId不存在")
    );
    let received: Vec<_> = running
        .handle
        .received()
        .into_iter()
        .map(|request| (request.account, request.action, request.verdict))
        .collect();
    let action = Some("DescribeLicenseGeneral".to_owned());
    let prod = Some("prod".to_owned());
    assert_eq!(
        received,
        [
            (prod, action.clone(), "AuthFailure.SignatureFailure"),
            (None, action, "AuthFailure.SecretIdNotFound"),
        ]
    );
}

#[tokio::test]
async fn rotated_secret_replaces_the_old_one() {
    let running = RunningSimulator::start(SCENARIO).await;
    running
        .handle
        .set_secret("prod", "new-key", Some("new-token"))
        .unwrap();
    assert_eq!(
        running.ask_json().await["Response"]["Error"]["Code"],
        "AuthFailure.SignatureFailure"
    );
    let without = running
        .exchange(&request("prod", "new-key", ""))
        .await
        .unwrap();
    assert_eq!(code(&without), "AuthFailure.TokenFailure");
    let with = request("prod", "new-key", "X-TC-Token: new-token\r\n");
    assert_eq!(code(&running.exchange(&with).await.unwrap()), Value::Null);
}

#[tokio::test]
async fn rate_is_limited_per_secret_id() {
    let running = RunningSimulator::start(&SCENARIO.replace("1000", "1")).await;
    let one = request("prod", "key-of-prod", "");
    let kept = String::from_utf8(one.clone())
        .unwrap()
        .replace("Connection: close\r\n", "");
    let answers = running
        .exchange(&[kept.as_bytes(), &one].concat())
        .await
        .unwrap();
    let answers = String::from_utf8(answers).unwrap();
    let (first, second) = answers.split_at(answers.rfind("HTTP/1.1").unwrap());
    assert_eq!(code(first.as_bytes()), Value::Null);
    assert_eq!(code(second.as_bytes()), "RequestLimitExceeded");
    let other = running
        .exchange(&request("other", "key-of-other", ""))
        .await
        .unwrap();
    assert_eq!(code(&other), Value::Null);
}

#[tokio::test]
async fn played_answer_holds_until_resumed() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Error {
        code: "InternalError".to_owned(),
        message: String::new(),
    });
    assert_eq!(
        running.ask_json().await["Response"]["Error"]["Code"],
        "InternalError"
    );
    running.handle.resume("prod").unwrap();
    assert_eq!(running.ask_json().await["Response"]["LicenseCnt"], 100);
    let verdicts: Vec<_> = running
        .handle
        .received()
        .iter()
        .map(|one| one.verdict)
        .collect();
    assert_eq!(verdicts, ["ok", "ok"]);
}

#[tokio::test]
async fn unknown_account_is_an_error() {
    let running = RunningSimulator::start(SCENARIO).await;
    let error = running.handle.play("nobody", Answer::Hang).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the scenario has no account `nobody`: use the name of one of its accounts"
    );
    assert!(running.handle.resume("nobody").is_err());
    assert!(running.handle.set_secret("nobody", "key", None).is_err());
    running.handle.wait_for("nobody", 1).await;
}

#[tokio::test]
async fn cut_answer_ends_before_the_length_it_promised() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Cut(13));
    let (head, body) = running.ask().await;
    assert_eq!(body, br#"{"Response":{"#);
    let length = head.split_once("content-length: ").unwrap().1.trim();
    assert!(length.parse::<usize>().unwrap() > 13, "{head}");
}

#[tokio::test]
async fn reset_connection_ends_without_an_answer() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Reset);
    let error = running
        .exchange(&request("prod", "key-of-prod", ""))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn hanging_connections_block_neither_others_nor_the_end() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Hang);
    let mut hanging = running.connect().await;
    hanging
        .write_all(&request("prod", "key-of-prod", ""))
        .await
        .unwrap();
    let mut silent = running.connect().await;
    silent.write_all(b"POST / HTT").await.unwrap();
    running.handle.wait_for("prod", 1).await;
    let other = running
        .exchange(&request("other", "key-of-other", ""))
        .await
        .unwrap();
    assert_eq!(code(&other), Value::Null);
    assert_eq!(running.handle.connections(), 3);
    assert_eq!(running.handle.requests(), 2);
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    let mut rest = Vec::new();
    let _ = hanging.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn oversized_answer_is_streamed_whole() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Oversized(8 << 20));
    let (head, body) = running.ask().await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(body.len() > 8 << 20);
    assert!(body.ends_with(b"}\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn compressed_answer_unpacks_to_the_fields() {
    let running = RunningSimulator::start(SCENARIO).await;
    running.play(Answer::Gzip);
    let (head, body) = running.ask().await;
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["Response"]["LicenseCnt"], 100);
}

#[tokio::test]
async fn clock_of_the_api_can_be_off() {
    let running = RunningSimulator::start(&format!("clock_offset: 6m{SCENARIO}")).await;
    let (head, body) = running.ask().await;
    assert!(
        head.contains("date: Sat, 01 Jun 2024 00:06:00 GMT\r\n"),
        "{head}"
    );
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["Response"]["Error"]["Code"],
        "AuthFailure.SignatureExpire"
    );
}

#[tokio::test]
async fn body_over_ten_megabytes_is_refused() {
    let running = RunningSimulator::start(SCENARIO).await;
    let mut stream = running.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let size = verify::MAX_BODY + 1;
    stream
        .write_all(format!("{size:x}\r\n").as_bytes())
        .await
        .unwrap();
    stream.write_all(&vec![b' '; size]).await.unwrap();
    let mut start = vec![0; 15];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(start, b"HTTP/1.1 200 OK");
    let received = running.handle.received();
    assert_eq!(
        received.first().unwrap().verdict,
        "RequestSizeLimitExceeded"
    );
}

#[tokio::test]
async fn malformed_requests_do_not_stop_the_simulator() {
    let running = RunningSimulator::start(SCENARIO).await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET / HTTP/0.9\r\n\r\n",
        b"POST * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nAuthorization: \xff\r\nConnection: close\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = running.connect().await;
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(running.ask_json().await["Response"]["LicenseCnt"], 100);
}

#[tokio::test]
async fn only_loopback_is_bound() {
    let scenario = Scenario::parse(SCENARIO).unwrap();
    let address: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let bound = Simulator::bind(address, scenario, Clock::system()).await;
    let error = bound.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("use 127.0.0.1"), "{error}");
}

#[test]
fn demo_scenario_has_the_promised_accounts() {
    let demo = Scenario::demo().unwrap();
    let names: Vec<&str> = demo.accounts().map(SimulatedAccount::name).collect();
    assert_eq!(
        names,
        [
            "healthy",
            "near-expiry",
            "expired-no-renewal",
            "flaky",
            "no-permission",
            "older-region"
        ]
    );
    for account in demo.accounts() {
        assert!(account.secret_key().starts_with("demo-"), "{account:?}");
    }
    let entry = |name: &str| {
        demo.accounts
            .iter()
            .find(|entry| entry.account.name() == name)
            .unwrap()
    };
    for entry in &demo.accounts {
        let (account, timeline) = (&entry.account, &entry.timeline);
        let count = timeline.fields().len();
        let expected = if account.name() == "older-region" {
            19
        } else {
            25
        };
        assert_eq!(count, expected, "{}", account.name());
        let known = documented_example();
        for name in timeline.fields().keys() {
            assert!(known.contains_key(name), "{}: {name}", account.name());
        }
    }
    let rising = &entry("near-expiry").timeline;
    assert!(rising.steps().first().unwrap().at <= Duration::from_secs(10));
    let mut last = 0;
    for step in rising.steps() {
        let now = rising.at(step.at).1.fields["NearExpiryLicenseCnt"]
            .as_u64()
            .unwrap();
        assert!(now > last);
        last = now;
    }
    let expired = entry("expired-no-renewal").timeline.fields();
    assert!(expired["ExpireLicenseCnt"].as_u64().unwrap() > 0);
    assert_eq!(expired["RepurchaseRenewSwitch"], json!(false));
    assert_eq!(expired["AutoRepurchaseSwitch"], json!(false));
    let flaky = entry("flaky").timeline.steps();
    let mut faults: Vec<&str> = flaky.iter().map(|step| step.answer.name()).collect();
    assert_eq!(faults.last(), Some(&"ok"));
    faults.sort_unstable();
    faults.dedup();
    assert_eq!(faults, ["cut", "error", "http", "ok"]);
    let denied = &entry("no-permission").account;
    assert!(!denied.permissions.allow("cwp", "DescribeLicenseGeneral"));
}
