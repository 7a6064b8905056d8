//! A request to one endpoint, for any account and any time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use jiff::Timestamp;

use super::foreign::Secrets;
use super::http::HttpSend;
use super::{Credential, Error, Reply, Request};
use crate::cloud::tc3::{self, CanonicalRequest, CredentialScope};
use crate::config::Endpoint;
use crate::metrics::reason::Reason;

/// The value of `Content-Type`, exactly as it is signed.
const CONTENT_TYPE: &str = "application/json";

/// The value of `Authorization` of the few actions that take no signature.
const UNSIGNED: HeaderValue = HeaderValue::from_static("SKIP");

/// A request that can be sent again and again, by any account at any time.
#[derive(Clone)]
pub struct RequestTemplate {
    endpoint: Endpoint,
    region: Option<String>,
    request: Request,
}

/// Parameters and headers do not show: some actions take a token.
impl fmt::Debug for RequestTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

impl RequestTemplate {
    /// `request` to `endpoint`, about `region` if the action needs one.
    #[must_use]
    pub fn new(endpoint: &Endpoint, region: Option<&str>, request: Request) -> Self {
        Self {
            endpoint: endpoint.clone(),
            region: region.map(str::to_owned),
            request,
        }
    }

    /// The same request with other parameters, a JSON object.
    #[must_use]
    pub fn with_parameters(&self, parameters: Bytes) -> Self {
        let mut other = self.clone();
        other.request.body = parameters;
        other
    }

    /// The action and its parameters.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Sends the request, signed with `credential` as of `now`, and waits for its answer
    /// no longer than `timeout`.
    pub async fn send(
        &self,
        http: &dyn HttpSend,
        credential: Option<&Credential>,
        now: Timestamp,
        timeout: Duration,
    ) -> Reply {
        let request = match self.signed(credential, now) {
            Ok(request) => request,
            Err(error) => return Reply::failed(error),
        };
        let secrets = Secrets::new(credential, self.request.secret.as_deref());
        match tokio::time::timeout(timeout, http.send(request)).await {
            Ok(Ok(response)) => Reply::read(&response, &secrets),
            Ok(Err(error)) => Reply::failed(Error {
                message: secrets.blot_out(&error.message),
                ..error
            }),
            Err(_) => Reply::failed(Error::new(
                Reason::Timeout,
                format!(
                    "no whole answer from {} within {timeout:?}",
                    self.endpoint.host()
                ),
            )),
        }
    }

    fn signed(
        &self,
        credential: Option<&Credential>,
        now: Timestamp,
    ) -> Result<http::Request<Bytes>, Error> {
        let mut builder = http::Request::post(format!("{}/", self.endpoint.url()))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::HOST, self.endpoint.host())
            .header("x-tc-action", self.request.action)
            .header("x-tc-version", self.request.version)
            .header("x-tc-timestamp", now.as_second())
            .header("x-tc-language", "en-US");
        if let Some(region) = &self.region {
            builder = builder.header("x-tc-region", region);
        }
        let request = builder.body(self.request.body.clone());
        let mut request = request.map_err(|error| {
            let message = format!("cannot build the request: {error}");
            Error::new(Reason::Request, message)
        })?;
        let authorization = match credential {
            Some(credential) => sensitive(&self.authorization(credential, now))?,
            None => UNSIGNED,
        };
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization);
        if let Some(token) = credential.and_then(Credential::token) {
            headers.insert("x-tc-token", sensitive(token)?);
        }
        Ok(request)
    }

    fn authorization(&self, credential: &Credential, now: Timestamp) -> String {
        let scope = CredentialScope::new(self.request.service, now);
        let key = tc3::signing_key(credential.secret_key(), &scope);
        let request = CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[
                ("content-type", CONTENT_TYPE),
                ("host", self.endpoint.host()),
            ],
            payload: &self.request.body,
        };
        tc3::authorization(credential.secret_id(), &key, &scope, &request)
    }
}

/// A header value that no debug output shows.
fn sensitive(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            Reason::Credentials,
            "the secret id or token has characters that no header can carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::Compression;
    use flate2::read::{GzEncoder, ZlibEncoder};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::http::Network;
    use super::super::scripted::{Scripted, success};
    use super::super::trust::Trust;
    use super::*;
    use crate::config::Proxies;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn request() -> Request {
        Request {
            service: "cwp",
            action: "DescribeLicenseGeneral",
            version: "2018-02-28",
            body: Bytes::from_static(b"{}"),
            secret: None,
        }
    }

    fn prepared(region: Option<&str>) -> RequestTemplate {
        let endpoint = "https://cwp.tencentcloudapi.com".parse().unwrap();
        RequestTemplate::new(&endpoint, region, request())
    }

    #[test]
    fn debug_output_tells_the_action_and_not_the_parameters() {
        let request = prepared(None).with_parameters(Bytes::from_static(b"hunter2"));
        let shown = format!("{request:?}");
        for part in ["cwp", "DescribeLicenseGeneral", "2018-02-28"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_sending_is_signed_for_its_key_and_its_time() {
        let http = Scripted::new(|_| success("{}"));
        let request = prepared(Some("ap-guangzhou"));
        let permanent = Credential::new("AKIDa".to_owned(), "a".to_owned(), None);
        let token = Some("t".to_owned());
        let temporary = Credential::new("AKIDb".to_owned(), "b".to_owned(), token);
        let june: Timestamp = "2024-06-01T00:00:00Z".parse().unwrap();
        let july: Timestamp = "2024-07-01T00:00:00Z".parse().unwrap();
        let sendings = [
            (Some(&permanent), june),
            (Some(&temporary), june),
            (None, july),
            (Some(&permanent), july),
        ];
        for (credential, now) in sendings {
            let reply = request.send(&*http, credential, now, TIMEOUT).await;
            reply.outcome.unwrap();
        }
        let canonical = CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[
                ("content-type", "application/json"),
                ("host", "cwp.tencentcloudapi.com"),
            ],
            payload: b"{}",
        };
        for ((credential, now), sent) in sendings.into_iter().zip(http.sent()) {
            let header = |name: &str| {
                let value = sent.request.headers().get(name);
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            let expected = credential.map_or("SKIP".to_owned(), |key| {
                let scope = CredentialScope::new("cwp", now);
                let signing_key = tc3::signing_key(key.secret_key(), &scope);
                tc3::authorization(key.secret_id(), &signing_key, &scope, &canonical)
            });
            assert_eq!(header("authorization"), Some(expected));
            assert_eq!(header("x-tc-timestamp"), Some(now.as_second().to_string()));
            let token = credential.and_then(Credential::token);
            assert_eq!(header("x-tc-token").as_deref(), token);
            assert_eq!(header("x-tc-region").as_deref(), Some("ap-guangzhou"));
        }
    }

    /// Sends a request over a socket; returns its head and what came of `answer`.
    async fn exchange(answer: Vec<u8>) -> (String, Reply) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n{}") {
                assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
            }
            stream.write_all(&answer).await.unwrap();
            String::from_utf8(received).unwrap()
        };
        let request = RequestTemplate::new(&url.parse().unwrap(), None, request());
        let network = Network::new(Trust::Nobody, Proxies::default());
        let key = Credential::new("AKIDa".to_owned(), "a".to_owned(), None);
        let sent = request.send(&network, Some(&key), Timestamp::UNIX_EPOCH, TIMEOUT);
        tokio::join!(api, sent)
    }

    #[tokio::test]
    async fn on_the_wire_each_header_is_there_once() {
        let (head, _) = exchange(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
        let lines = head.lines().skip(1).take_while(|line| !line.is_empty());
        let mut names: Vec<&str> = lines.map(|line| line.split_once(':').unwrap().0).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-tc-action",
            "x-tc-language",
            "x-tc-timestamp",
            "x-tc-version",
        ];
        assert_eq!(names, expected);
    }

    #[tokio::test]
    async fn an_answer_in_each_coding_that_is_asked_for_is_understood() {
        let (head, _) = exchange(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
        let asked = head
            .lines()
            .find_map(|line| line.strip_prefix("accept-encoding: "));
        for coding in asked.unwrap().split(',') {
            let text = br#"{"Response":{"LicenseCnt":7}}"#.as_slice();
            let mut body = Vec::new();
            let level = Compression::default();
            match coding {
                "gzip" => GzEncoder::new(text, level).read_to_end(&mut body),
                "deflate" => ZlibEncoder::new(text, level).read_to_end(&mut body),
                other => panic!("{other}"),
            }
            .unwrap();
            let length = body.len();
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
            )
            .into_bytes();
            answer.extend(body);
            let (_, reply) = exchange(answer).await;
            let fields = reply.outcome.unwrap().fields;
            assert_eq!(fields.get("LicenseCnt"), Some("7"), "{coding}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_request_can_carry_is_told_by_each_sending() {
        let http = Scripted::new(|_| success("{}"));
        let request = prepared(Some("line\nend"));
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..2 {
            let reply = request.send(&*http, None, now, TIMEOUT).await;
            assert_eq!(reply.outcome.unwrap_err().reason, Reason::Request);
        }
        assert!(http.sent().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_no_header_can_carry_is_told_and_not_sent() {
        let http = Scripted::new(|_| success("{}"));
        let request = prepared(None);
        for (id, token) in [("AKID\n", None), ("AKID", Some("t\r\nx: y"))] {
            let token = token.map(str::to_owned);
            let key = Credential::new(id.to_owned(), "key".to_owned(), token);
            let now = Timestamp::UNIX_EPOCH;
            let reply = request.send(&*http, Some(&key), now, TIMEOUT).await;
            let error = reply.outcome.unwrap_err();
            assert_eq!(error.reason, Reason::Credentials);
            assert!(error.message.contains("no header can carry"), "{error}");
        }
        assert!(http.sent().is_empty());
    }
}
