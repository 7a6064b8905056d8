//! Answers as bytes on a connection.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, AnswerFields, MAX_NESTED};

/// The body of a response.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// How much of an oversized answer is sent at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The reply to a request.
#[derive(Debug)]
pub(crate) enum ConnectionReply {
    /// A response, well-formed as HTTP.
    Respond(Response<ReplyBody>),
    /// Nothing, ever.
    Hang,
    /// An end of the connection outside HTTP.
    Interrupt(Interruption),
}

/// An end of a connection outside HTTP.
#[derive(Debug)]
pub(crate) enum Interruption {
    Reset,
    /// After these bytes.
    Break(Bytes),
}

/// The content of a good answer.
#[derive(Debug, Clone)]
pub(crate) enum ReplyContent {
    /// The fields of an API's answer.
    Fields(Arc<AnswerFields>),
    /// The whole body of an answer with instance metadata.
    Plain(StatusCode, String),
}

/// The parts that every answer has.
#[derive(Debug, Clone)]
pub(crate) struct ReplyEnvelope {
    pub(crate) request_id: String,
    /// The API's time, for the `Date` header.
    pub(crate) date: Timestamp,
}

impl ReplyEnvelope {
    /// The delay of `answer`, and the reply.
    pub(crate) fn reply(
        &self,
        answer: &Answer,
        content: &ReplyContent,
    ) -> (Duration, ConnectionReply) {
        let reply = match answer {
            Answer::Ok => match content {
                ReplyContent::Fields(fields) => self.json(self.ok(fields)),
                ReplyContent::Plain(status, text) => respond(self.response(*status, TEXT, text)),
            },
            Answer::Gzip => {
                let bytes = gzip(&self.body(content));
                let mut response = self.response(StatusCode::OK, JSON, &bytes);
                let encoding = HeaderValue::from_static("gzip");
                response.headers_mut().insert(CONTENT_ENCODING, encoding);
                respond(response)
            }
            Answer::Fields(fields) => self.json(self.ok(fields)),
            Answer::Error { code, message } => match content {
                ReplyContent::Fields(_) => self.refuse(code, message),
                ReplyContent::Plain(..) => {
                    let body = json!({"Code": code, "Message": message}).to_string();
                    respond(self.response(StatusCode::OK, TEXT, &body))
                }
            },
            Answer::LegacyError {
                code,
                message,
                code_desc,
            } => {
                let body = json!({"code": code, "message": message, "codeDesc": code_desc});
                self.json(body.to_string())
            }
            Answer::Http {
                status,
                body,
                content_type,
                location,
            } => {
                let mut response = self.response(*status, HTML, body);
                insert(&mut response, CONTENT_TYPE, content_type.as_deref());
                insert(&mut response, LOCATION, location.as_deref());
                respond(response)
            }
            Answer::Hang => ConnectionReply::Hang,
            Answer::Reset => ConnectionReply::Interrupt(Interruption::Reset),
            Answer::Cut(bytes) => self.cut(&self.body(content), *bytes),
            Answer::Body(text) => self.json(text.clone()),
            Answer::Oversized(size) => self.oversized(self.body(content), *size),
            Answer::Nested(depth) => {
                let depth = (*depth).min(MAX_NESTED);
                let (open, close) = ("[".repeat(depth), "]".repeat(depth));
                let id = &self.request_id;
                self.json(format!(
                    r#"{{"Response":{{"LicenseCnt":{open}{close},"RequestId":"{id}"}}}}"#
                ))
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
        let body = json!({"Response": {
            "Error": {"Code": code, "Message": message},
            "RequestId": self.request_id,
        }});
        self.json(body.to_string())
    }

    fn body(&self, content: &ReplyContent) -> String {
        match content {
            ReplyContent::Fields(fields) => self.ok(fields),
            ReplyContent::Plain(_, text) => text.clone(),
        }
    }

    /// The fields and a request id, unless the fields have one.
    fn ok(&self, fields: &AnswerFields) -> String {
        let mut fields = fields.clone();
        let id = fields.entry("RequestId");
        id.or_insert_with(|| self.request_id.as_str().into());
        format!(r#"{{"Response":{}}}"#, Value::Object(fields))
    }

    fn json(&self, body: String) -> ConnectionReply {
        respond(self.response(StatusCode::OK, JSON, &body))
    }

    fn response(
        &self,
        status: StatusCode,
        content_type: HeaderValue,
        body: impl AsRef<[u8]>,
    ) -> Response<ReplyBody> {
        let body = Full::new(Bytes::copy_from_slice(body.as_ref()));
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        insert(&mut response, DATE, Some(&self.http_date()));
        response
    }

    /// The API's time as HTTP writes it.
    fn http_date(&self) -> String {
        let date = self.date.strftime("%a, %d %b %Y %H:%M:%S GMT");
        date.to_string()
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
        ConnectionReply::Interrupt(Interruption::Break(Bytes::from(raw)))
    }

    /// A good answer, with as many spaces before its last brace as make it `size` bytes in all.
    fn oversized(&self, mut body: String, size: u64) -> ConnectionReply {
        let mut left = size.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
        let chunk = Bytes::from_static(&[b' '; CHUNK]);
        let padding = std::iter::from_fn(move || {
            let length = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
            (length > 0).then(|| chunk.slice(..length))
        });
        let end = body.pop().map(|brace| Bytes::from(brace.to_string()));
        let frames = std::iter::once(Bytes::from(body)).chain(padding).chain(end);
        let frames = frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let mut response = self.response(StatusCode::OK, JSON, "");
        *response.body_mut() = StreamBody::new(stream::iter(frames)).boxed_unsync();
        respond(response)
    }
}

fn respond(response: Response<ReplyBody>) -> ConnectionReply {
    ConnectionReply::Respond(response)
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a Vec does not fail.
    let _ = encoder.write_all(body.as_bytes());
    encoder.finish().unwrap_or_default()
}

fn insert(response: &mut Response<ReplyBody>, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
