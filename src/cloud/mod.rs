//! One exchange with the cloud: a signed request and its answer, or why there is none.
//!
//! No budget, no retry and no choice of credential: those are [`api`]'s.

pub mod api;
pub mod budget;
mod credential;
pub mod credentials;
pub mod deadline;
mod envelope;
mod fields;
mod foreign;
pub mod http;
mod remedy;
mod request_template;
#[cfg(test)]
pub(crate) mod scripted;
pub mod tc3;
pub mod trust;

use std::fmt;

use ::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use jiff::Timestamp;

pub use credential::Credential;
pub use envelope::ApiAnswer;
pub use fields::Fields;
pub use remedy::Remedy;
pub use request_template::RequestTemplate;

use self::foreign::Secrets;
use crate::metrics::reason::Reason;

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
    /// The secret among the parameters, which an answer could echo.
    pub secret: Option<Box<str>>,
}

impl Request {
    /// A request of the CWP API with these parameters, a JSON object.
    #[must_use]
    pub fn cwp(action: &'static str, body: Bytes) -> Self {
        Self {
            service: "cwp",
            action,
            version: "2018-02-28",
            body,
            secret: None,
        }
    }
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
    /// The remedy for this failure, if it differs from the remedy for the reason.
    pub remedy: Option<Box<Remedy>>,
}

impl Error {
    /// The remedy, as an instruction for an operator.
    #[must_use]
    pub fn remedy(&self) -> &str {
        match &self.remedy {
            Some(own) => &own.english,
            None => self.reason.remedy(),
        }
    }

    /// The same in Chinese, if there is a translation.
    #[must_use]
    pub fn remedy_in_chinese(&self) -> Option<&str> {
        match &self.remedy {
            Some(own) => own.chinese.as_deref(),
            None => Some(self.reason.remedy_in_chinese()),
        }
    }

    /// The same failure with a remedy of its own.
    #[must_use]
    pub fn with_remedy(self, remedy: Remedy) -> Self {
        Self {
            remedy: Some(Box::new(remedy)),
            ..self
        }
    }

    /// The same failure of the call with this id, if it has one.
    #[must_use]
    pub fn with_request_id(self, request_id: Option<String>) -> Self {
        Self { request_id, ..self }
    }

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
            remedy: None,
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub struct Reply {
    /// The answer, or why there is none.
    pub outcome: Result<ApiAnswer, Error>,
    /// The cloud's time of day, if it said.
    pub date: Option<Timestamp>,
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

    /// The clock that shows `now` minus the cloud's, in seconds, if the cloud said what time
    /// it is.
    #[must_use]
    pub fn skew(&self, now: Timestamp) -> Option<f64> {
        // The header has whole seconds, so on average half of one is missing.
        Some(now.duration_since(self.date?).as_secs_f64() - 0.5)
    }

    fn read(response: &Response<Bytes>, secrets: &Secrets<'_>) -> Self {
        Self {
            outcome: envelope::read(response.status(), response.body(), secrets),
            date: date(response.headers()),
        }
    }
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

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn the_clock_is_compared_with_the_date_of_an_answer_if_it_has_one() {
        let date_of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(text))]);
            date(&headers)
        };
        let noon = date_of("Mon, 23 Nov 2026 12:00:00 GMT").unwrap();
        assert_eq!(noon.to_string(), "2026-11-23T12:00:00Z");
        for text in ["", "noon", "2026-11-23T12:00:00Z"] {
            assert_eq!(date_of(text), None, "{text}");
        }
        assert_eq!(date(&HeaderMap::new()), None);

        let error = Error::new(Reason::Network, "");
        let mut reply = Reply::failed(error);
        assert_eq!(reply.skew(noon), None);
        reply.date = Some(noon);
        let later = noon + jiff::SignedDuration::from_millis(2500);
        assert_eq!(reply.skew(later), Some(2.0));
    }
}
