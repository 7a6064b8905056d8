//! Answers as bytes.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
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
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::answer::{Answer, Fields, MAX_NESTED};

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// How much of an oversized answer is sent at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// What becomes of a request's connection.
#[derive(Debug)]
pub(crate) enum ConnectionReply {
    /// A response, well-formed as HTTP.
    Respond(Response<Body>),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// The connection ends after these bytes.
    Break(Bytes),
}

/// What is answered where no fault is played.
#[derive(Debug, Clone)]
pub(crate) enum ReplyContent {
    /// The fields of an API's answer.
    Fields(Arc<Fields>),
    /// The whole body of an answer that is not the API's, but instance metadata.
    Plain(StatusCode, String),
}

/// What each answer carries.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) request_id: String,
    /// The API's time, for the `Date` header.
    pub(crate) date: Timestamp,
}

impl Envelope {
    /// How long `answer` takes, and what it is.
    pub(crate) fn reply(
        &self,
        answer: &Answer,
        content: &ReplyContent,
    ) -> (Duration, ConnectionReply) {
        let reply = match answer {
            Answer::Ok => self.good(content),
            Answer::Gzip => self.gzip(&self.body(content)),
            Answer::Fields(fields) => self.respond(JSON, self.ok(fields)),
            Answer::Error { code, message } if matches!(content, ReplyContent::Plain(..)) => {
                let body = json!({"Code": code, "Message": message});
                self.respond(TEXT, body.to_string())
            }
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
            Answer::Hang => ConnectionReply::Hang,
            Answer::Reset => ConnectionReply::Reset,
            Answer::Cut(bytes) => self.cut(&self.body(content), *bytes),
            Answer::Body(text) => self.respond(JSON, text.clone()),
            Answer::Oversized(size) => self.oversized(content, *size),
            Answer::Nested(depth) => {
                let depth = (*depth).min(MAX_NESTED);
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                let id = &self.request_id;
                let body =
                    format!(r#"{{"Response":{{"LicenseCnt":{open}{close},"RequestId":"{id}"}}}}"#);
                self.respond(JSON, body)
            }
            Answer::Delayed(delay, answer) => {
                let (more, reply) = self.reply(answer, content);
                return (delay.saturating_add(more), reply);
            }
        };
        (Duration::ZERO, reply)
    }

    /// An API error, which like all of them has HTTP status 200.
    pub(crate) fn refuse(&self, code: &str, message: &str) -> ConnectionReply {
        self.respond(JSON, self.error(code, message))
    }

    fn good(&self, content: &ReplyContent) -> ConnectionReply {
        let body = Full::new(Bytes::from(self.body(content))).boxed_unsync();
        let (status, content_type) = match content {
            ReplyContent::Fields(_) => (StatusCode::OK, JSON),
            ReplyContent::Plain(status, _) => (*status, TEXT),
        };
        let mut response = self.response(content_type, body);
        *response.status_mut() = status;
        ConnectionReply::Respond(response)
    }

    fn body(&self, content: &ReplyContent) -> String {
        match content {
            ReplyContent::Fields(fields) => self.ok(fields),
            ReplyContent::Plain(_, text) => text.clone(),
        }
    }

    fn ok(&self, fields: &Fields) -> String {
        let response = Identified {
            fields,
            request_id: &self.request_id,
        };
        // JSON values with text keys can always be written.
        let response = serde_json::to_string(&response).unwrap_or_default();
        format!(r#"{{"Response":{response}}}"#)
    }

    fn error(&self, code: &str, message: &str) -> String {
        json!({"Response": {
            "Error": {"Code": code, "Message": message},
            "RequestId": self.request_id,
        }})
        .to_string()
    }

    fn respond(&self, content_type: HeaderValue, body: String) -> ConnectionReply {
        ConnectionReply::Respond(
            self.response(content_type, Full::new(Bytes::from(body)).boxed_unsync()),
        )
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

    fn gzip(&self, body: &str) -> ConnectionReply {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to a Vec does not fail.
        let _ = encoder.write_all(body.as_bytes());
        let bytes = encoder.finish().unwrap_or_default();
        let mut response = self.response(JSON, Full::new(Bytes::from(bytes)).boxed_unsync());
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        ConnectionReply::Respond(response)
    }

    fn http(
        &self,
        status: StatusCode,
        body: &str,
        content_type: Option<&str>,
        location: Option<&str>,
    ) -> ConnectionReply {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed_unsync();
        let mut response = self.response(HTML, body);
        *response.status_mut() = status;
        insert(response.headers_mut(), CONTENT_TYPE, content_type);
        insert(response.headers_mut(), LOCATION, location);
        ConnectionReply::Respond(response)
    }

    /// A hand-written response, as no server library would write it.
    fn cut(&self, body: &str, bytes: usize) -> ConnectionReply {
        let sent = bytes.min(body.len().saturating_sub(1));
        let mut raw = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {}\r\n\
             content-length: {}\r\n\r\n",
            self.http_date(),
            body.len()
        )
        .into_bytes();
        raw.extend(body.bytes().take(sent));
        ConnectionReply::Break(Bytes::from(raw))
    }

    /// A good answer, and as much more as makes it `size` bytes in all.
    fn oversized(&self, content: &ReplyContent, size: u64) -> ConnectionReply {
        const OPEN: &str = ",\"~Padding\":\"";
        const CLOSE: &str = "\"}}";
        let body = self.body(content);
        // There is a RequestId before the comma.
        let (start, fill, end) = match body.strip_suffix("}}") {
            Some(fields) if matches!(content, ReplyContent::Fields(_)) => {
                (format!("{fields}{OPEN}"), b'x', CLOSE)
            }
            _ => (body, b' ', ""),
        };
        let fixed = start.len().saturating_add(end.len());
        let padding = size.saturating_sub(u64::try_from(fixed).unwrap_or(u64::MAX));
        let chunk = Bytes::from(vec![fill; CHUNK]);
        let chunk_size = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let rest = usize::try_from(padding % chunk_size).unwrap_or_default();
        let rest = Bytes::from(vec![fill; rest]);
        let chunks = (0..padding / chunk_size).map(move |_| chunk.clone());
        let frames = std::iter::once(Bytes::from(start))
            .chain(chunks)
            .chain([rest, Bytes::from_static(end.as_bytes())])
            .map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        ConnectionReply::Respond(self.response(JSON, body))
    }
}

/// Fields and a request id, unless the fields have one.
struct Identified<'a> {
    fields: &'a Fields,
    request_id: &'a str,
}

impl Serialize for Identified<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "RequestId";
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.fields {
            map.serialize_entry(name, value)?;
        }
        if !self.fields.contains_key(NAME) {
            map.serialize_entry(NAME, self.request_id)?;
        }
        map.end()
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
