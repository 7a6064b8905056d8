//! Answers as bytes.

use std::convert::Infallible;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, Fields, MAX_NESTED};

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
/// How much of an oversized answer is sent at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// What becomes of a request's connection.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A response, well-formed as HTTP.
    Respond(Response<Body>),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// The connection ends after these bytes.
    Break(Bytes),
}

/// What each answer carries.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) request_id: String,
    /// The API's time, for the `Date` header.
    pub(crate) date: Timestamp,
}

impl Envelope {
    /// How long `answer` takes, and what it is; `fields` hold in the account's timeline.
    pub(crate) fn reply(&self, answer: &Answer, fields: Fields) -> (Duration, Reply) {
        let reply = match answer {
            Answer::Ok => self.respond(JSON, self.ok(fields)),
            Answer::Gzip => self.gzip(&self.ok(fields)),
            Answer::Fields(fields) => self.respond(JSON, self.ok(fields.clone())),
            Answer::Error { code, message } => self.respond(JSON, self.error(code, message)),
            Answer::LegacyError {
                code,
                message,
                code_desc,
            } => {
                let body = json!({"code": code, "message": message, "codeDesc": code_desc});
                self.respond(JSON, body.to_string())
            }
            Answer::Http {
                status,
                body,
                content_type,
                location,
            } => self.http(*status, body, content_type.as_deref(), location.as_deref()),
            Answer::Hang => Reply::Hang,
            Answer::Reset => Reply::Reset,
            Answer::Cut(bytes) => self.cut(&self.ok(fields), *bytes),
            Answer::Body(text) => self.respond(JSON, text.clone()),
            Answer::Oversized(size) => self.oversized(fields, *size),
            Answer::Nested(depth) => {
                let depth = (*depth).min(MAX_NESTED);
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                let id = &self.request_id;
                let body =
                    format!(r#"{{"Response":{{"LicenseCnt":{open}{close},"RequestId":"{id}"}}}}"#);
                self.respond(JSON, body)
            }
            Answer::Delayed(delay, answer) => {
                let (more, reply) = self.reply(answer, fields);
                return (delay.saturating_add(more), reply);
            }
        };
        (Duration::ZERO, reply)
    }

    /// An API error, which like all of them has HTTP status 200.
    pub(crate) fn refuse(&self, code: &str, message: &str) -> Reply {
        self.respond(JSON, self.error(code, message))
    }

    fn ok(&self, mut fields: Fields) -> String {
        fields
            .entry("RequestId")
            .or_insert_with(|| Value::from(self.request_id.as_str()));
        json!({"Response": fields}).to_string()
    }

    fn error(&self, code: &str, message: &str) -> String {
        json!({"Response": {
            "Error": {"Code": code, "Message": message},
            "RequestId": self.request_id,
        }})
        .to_string()
    }

    fn respond(&self, content_type: HeaderValue, body: String) -> Reply {
        Reply::Respond(self.response(content_type, Full::new(Bytes::from(body)).boxed_unsync()))
    }

    fn response(&self, content_type: HeaderValue, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if let Ok(date) = HeaderValue::from_str(&self.http_date()) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }

    /// The time as HTTP writes it; 1970 for one that the system cannot represent.
    fn http_date(&self) -> String {
        let seconds = u64::try_from(self.date.as_second()).unwrap_or_default();
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        httpdate::fmt_http_date(time.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    fn gzip(&self, body: &str) -> Reply {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to a Vec does not fail.
        let _ = encoder.write_all(body.as_bytes());
        let bytes = encoder.finish().unwrap_or_default();
        let mut response = self.response(JSON, Full::new(Bytes::from(bytes)).boxed_unsync());
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        Reply::Respond(response)
    }

    fn http(
        &self,
        status: StatusCode,
        body: &str,
        content_type: Option<&str>,
        location: Option<&str>,
    ) -> Reply {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed_unsync();
        let mut response = self.response(HTML, body);
        *response.status_mut() = status;
        insert(response.headers_mut(), CONTENT_TYPE, content_type);
        insert(response.headers_mut(), LOCATION, location);
        Reply::Respond(response)
    }

    /// A hand-written response, as no server library would write it.
    fn cut(&self, body: &str, bytes: usize) -> Reply {
        let sent = bytes.min(body.len().saturating_sub(1));
        let mut raw = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {}\r\n\
             content-length: {}\r\n\r\n",
            self.http_date(),
            body.len()
        )
        .into_bytes();
        raw.extend(body.bytes().take(sent));
        Reply::Break(Bytes::from(raw))
    }

    /// Good fields, and a text that makes it `size` bytes in all.
    fn oversized(&self, fields: Fields, size: u64) -> Reply {
        const MARK: &str = "@";
        const END: &str = "\"}}";
        let mut padded = Fields::new();
        padded.extend(fields);
        // Keys are sorted: this one comes last.
        padded.insert("~Padding".to_owned(), Value::from(MARK));
        let whole = self.ok(padded);
        let start = whole
            .strip_suffix(END)
            .and_then(|rest| rest.strip_suffix(MARK))
            .unwrap_or(&whole)
            .to_owned();
        let fixed = start.len().saturating_add(END.len());
        let padding = size.saturating_sub(u64::try_from(fixed).unwrap_or(u64::MAX));
        let chunk = Bytes::from(vec![b'x'; CHUNK]);
        let chunk_size = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let rest = usize::try_from(padding % chunk_size).unwrap_or_default();
        let rest = Bytes::from(vec![b'x'; rest]);
        let chunks = (0..padding / chunk_size).map(move |_| chunk.clone());
        let frames = std::iter::once(Bytes::from(start))
            .chain(chunks)
            .chain([rest, Bytes::from_static(END.as_bytes())])
            .map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        Reply::Respond(self.response(JSON, body))
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            request_id: "id-1".to_owned(),
            date: Timestamp::from_second(1_717_200_000).unwrap(),
        }
    }

    fn fields() -> Fields {
        let mut fields = Fields::new();
        fields.insert("LicenseCnt".to_owned(), Value::from(5));
        fields
    }

    async fn respond(answer: &Answer) -> (http::response::Parts, Bytes) {
        match envelope().reply(answer, fields()) {
            (_, Reply::Respond(response)) => {
                let (parts, body) = response.into_parts();
                (parts, body.collect().await.unwrap().to_bytes())
            }
            other => panic!("no response: {other:?}"),
        }
    }

    #[tokio::test]
    async fn good_answer_has_fields_date_and_request_id() {
        let (parts, body) = respond(&Answer::Ok).await;
        assert_eq!(parts.status, 200);
        assert_eq!(parts.headers["date"], "Sat, 01 Jun 2024 00:00:00 GMT");
        assert_eq!(parts.headers["content-type"], "application/json");
        assert_eq!(body, r#"{"Response":{"LicenseCnt":5,"RequestId":"id-1"}}"#);
    }

    #[tokio::test]
    async fn given_fields_replace_the_timelines() {
        let (_, body) = respond(&Answer::Fields(Fields::new())).await;
        assert_eq!(body, r#"{"Response":{"RequestId":"id-1"}}"#);
    }

    #[tokio::test]
    async fn errors_come_in_both_shapes() {
        let error = Answer::Error {
            code: "InternalError".to_owned(),
            message: "Sorry.".to_owned(),
        };
        assert_eq!(
            respond(&error).await.1,
            r#"{"Response":{"Error":{"Code":"InternalError","Message":"Sorry."},"RequestId":"id-1"}}"#
        );
        let legacy = Answer::LegacyError {
            code: 4000,
            message: "Sorry.".to_owned(),
            code_desc: "InvalidParameter".to_owned(),
        };
        assert_eq!(
            respond(&legacy).await.1,
            r#"{"code":4000,"codeDesc":"InvalidParameter","message":"Sorry."}"#
        );
    }

    #[tokio::test]
    async fn oversized_answer_is_valid_and_of_the_size_asked_for() {
        for size in [1_000, 64 * 1024, 1_000_000] {
            let (_, body) = respond(&Answer::Oversized(size)).await;
            assert_eq!(body.len(), usize::try_from(size).unwrap());
            let value: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(value["Response"]["LicenseCnt"], 5);
        }
        let (_, body) = respond(&Answer::Oversized(0)).await;
        assert!(serde_json::from_slice::<Value>(&body).is_ok());
    }

    #[tokio::test]
    async fn nested_answer_is_balanced() {
        let (_, body) = respond(&Answer::Nested(3)).await;
        assert_eq!(
            body,
            r#"{"Response":{"LicenseCnt":[[[]]],"RequestId":"id-1"}}"#
        );
        let (_, body) = respond(&Answer::Nested(20_000)).await;
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }

    #[tokio::test]
    async fn gateways_answer_keeps_status_and_headers() {
        let (parts, body) = respond(&Answer::Http {
            status: StatusCode::FOUND,
            body: "<html>".to_owned(),
            content_type: None,
            location: Some("/elsewhere".to_owned()),
        })
        .await;
        assert_eq!(parts.status, 302);
        assert_eq!(parts.headers["content-type"], "text/html");
        assert_eq!(parts.headers["location"], "/elsewhere");
        assert_eq!(body, "<html>");
    }

    #[test]
    fn cut_answer_is_never_whole() {
        for (bytes, body) in [
            (0, ""),
            (13, r#"{"Response":{"#),
            (9_999, r#"{"Response":{"LicenseCnt":5,"RequestId":"id-1"}"#),
        ] {
            let (_, Reply::Break(raw)) = envelope().reply(&Answer::Cut(bytes), fields()) else {
                panic!("not cut");
            };
            let raw = String::from_utf8(raw.to_vec()).unwrap();
            assert!(raw.contains("content-length: 48\r\n"), "{raw}");
            assert_eq!(raw.split_once("\r\n\r\n").unwrap().1, body);
        }
    }

    #[test]
    fn delays_add_up() {
        let second = Duration::from_secs(1);
        let answer = Answer::Delayed(second, Box::new(Answer::Hang));
        let answer = Answer::Delayed(second, Box::new(answer));
        let (delay, reply) = envelope().reply(&answer, fields());
        assert_eq!(delay, 2 * second);
        assert!(matches!(reply, Reply::Hang));
    }
}
