//! One exchange with the cloud: a signed request and its answer, or why there is none.
//!
//! No budget, no retry and no choice of credential: those are [`api`](crate::api)'s.

mod credential;
mod envelope;
mod fields;
pub mod http;
#[cfg(test)]
pub(crate) mod scripted;

use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use jiff::Timestamp;

pub use credential::{Credential, redact};
pub use envelope::Answer;
pub use fields::Fields;

use crate::config::Endpoint;
use crate::reason::Reason;
use crate::tc3::{self, CanonicalRequest, CredentialScope};
use http::HttpSend;

/// The value of `Content-Type`, exactly as it is signed.
const CONTENT_TYPE: &str = "application/json";

/// The headers of the API's own.
const ACTION: HeaderName = HeaderName::from_static("x-tc-action");
const VERSION: HeaderName = HeaderName::from_static("x-tc-version");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-tc-timestamp");
const LANGUAGE: HeaderName = HeaderName::from_static("x-tc-language");
const REGION: HeaderName = HeaderName::from_static("x-tc-region");
const TOKEN: HeaderName = HeaderName::from_static("x-tc-token");

/// How many headers a request has at most.
const MAX_HEADERS: usize = 9;

/// What to ask the cloud.
#[derive(Clone)]
pub struct Request {
    /// The API's product, such as `cwp`.
    pub service: &'static str,
    /// The action, such as `DescribeLicenseGeneral`.
    pub action: &'static str,
    /// The version of the API, such as `2018-02-28`.
    pub version: &'static str,
    /// The JSON object of parameters, exactly as it is sent and signed.
    pub body: Bytes,
}

/// The body does not show: some actions take a token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("service", &self.service)
            .field("action", &self.action)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The closed class.
    pub reason: Reason,
    /// The API's own code, if it gave one.
    pub code: Option<String>,
    /// What happened, in words. Never holds a secret.
    pub message: String,
    /// The handle by which the cloud's support finds the call.
    pub request_id: Option<String>,
}

impl Error {
    /// Whether the key itself was refused, so that a newer one may be accepted.
    #[must_use]
    pub fn wants_another_key(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("AuthFailure.TokenFailure" | "AuthFailure.SecretIdNotFound")
        )
    }

    /// An error that the API had no part in naming.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            code: None,
            message: message.into(),
            request_id: None,
        }
    }
}

/// A request on its way to somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// The value of `X-TC-Region`, sent only when set.
    pub region: Option<&'a str>,
    /// What to ask.
    pub request: &'a Request,
    /// Who asks; nobody for the few actions that take no signature.
    pub credential: Option<&'a Credential>,
}

/// What came of a call.
#[derive(Debug)]
pub struct Reply {
    /// The answer, or why there is none.
    pub outcome: Result<Answer, Error>,
    /// The cloud's time of day, if it said.
    pub date: Option<Timestamp>,
}

impl Call<'_> {
    /// Sends the request, signed as of `now`, and waits for its answer no longer than
    /// `timeout`.
    pub async fn send(&self, http: &dyn HttpSend, now: Timestamp, timeout: Duration) -> Reply {
        let request = match self.http_request(now) {
            Ok(request) => request,
            Err(error) => return Reply::failed(error),
        };
        let reply = match tokio::time::timeout(timeout, http.send(request)).await {
            Ok(Ok(response)) => Reply::read(&response),
            Ok(Err(error)) => Reply::failed(error),
            Err(_) => Reply::failed(Error::new(
                Reason::Timeout,
                format!("no whole answer within {timeout:?}"),
            )),
        };
        Reply {
            outcome: reply.outcome.map_err(|error| self.redact(error)),
            ..reply
        }
    }

    /// Blots out what an endpoint may have echoed.
    fn redact(&self, error: Error) -> Error {
        let Some(credential) = self.credential else {
            return error;
        };
        Error {
            reason: error.reason,
            code: error.code.map(|code| credential.redact(&code)),
            message: credential.redact(&error.message),
            request_id: error.request_id.map(|id| credential.redact(&id)),
        }
    }

    fn http_request(&self, now: Timestamp) -> Result<::http::Request<Bytes>, Error> {
        let Request {
            service,
            action,
            version,
            body,
        } = self.request;
        let host = self.endpoint.host();
        let mut headers = HeaderMap::with_capacity(MAX_HEADERS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::HOST, text(host)?);
        headers.insert(ACTION, HeaderValue::from_static(action));
        headers.insert(VERSION, HeaderValue::from_static(version));
        headers.insert(TIMESTAMP, now.as_second().into());
        headers.insert(LANGUAGE, HeaderValue::from_static("en-US"));
        if let Some(region) = self.region {
            headers.insert(REGION, text(region)?);
        }
        if let Some(credential) = self.credential {
            let scope = CredentialScope::new(service, now);
            let authorization = tc3::authorization(
                credential.secret_id(),
                &credential.signing_key(&scope),
                &scope,
                &CanonicalRequest {
                    method: "POST",
                    query: "",
                    headers: &[("content-type", CONTENT_TYPE), ("host", host)],
                    payload: body,
                },
            );
            headers.insert(header::AUTHORIZATION, sensitive(&authorization)?);
            if let Some(token) = credential.token() {
                headers.insert(TOKEN, sensitive(token)?);
            }
        } else {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static("SKIP"));
        }
        let mut request = ::http::Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/", self.endpoint.url()).parse().map_err(unfit)?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Reply {
    /// No answer.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self {
            outcome: Err(error),
            date: None,
        }
    }

    fn read(response: &Response<Bytes>) -> Self {
        Self {
            outcome: envelope::read(response.status(), response.body()),
            date: date(response.headers()),
        }
    }
}

/// The configuration has something that no request can carry.
fn unfit(error: impl fmt::Display) -> Error {
    let message = format!("cannot build the request: {error}");
    Error::new(Reason::Request, message)
}

fn text(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(unfit)
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

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(text).ok()?;
    Timestamp::try_from(date).ok()
}

/// The failure behind a status other than 200 whose body explains nothing.
fn status_error(status: StatusCode) -> Error {
    Error::new(
        Reason::from_status(status),
        format!("the endpoint answered with HTTP status {status}"),
    )
}
