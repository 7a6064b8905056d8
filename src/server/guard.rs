//! What the web configuration demands of a request, in the order of the
//! exporter-toolkit.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tracing::warn;

use super::body::Body;
use super::passwords::{Passwords, Verdict};
use super::reply::{PLAIN, answer};
use super::site::Site;
use crate::web_config::{RequestLimit, WebConfig, WebConfigFile};

/// What the web configuration demands.
#[derive(Debug)]
pub(super) struct Guard {
    file: Arc<WebConfigFile>,
    bucket: Bucket,
    passwords: Passwords,
    health_is_open: bool,
}

/// How many requests are let through.
#[derive(Debug)]
enum Bucket {
    Bottomless,
    Empty,
    Limited(DefaultDirectRateLimiter),
}

/// What the guard says.
pub(super) enum Admission {
    /// The request is to be answered.
    Granted(Pass),
    /// This is the answer.
    Refused(Response<Body>),
}

/// A request that was let in.
pub(super) struct Pass(Arc<WebConfig>);

impl Pass {
    /// Adds the configured headers to the answer, unless it has them of itself.
    pub(super) fn sign(&self, mut response: Response<Body>) -> Response<Body> {
        for (name, value) in &self.0.headers {
            let entry = response.headers_mut().entry(name);
            entry.or_insert_with(|| value.clone());
        }
        response
    }
}

impl Guard {
    /// As `file` says. With `health_is_open` whether the process is alive and ready is
    /// told without a password.
    pub(super) fn new(file: Arc<WebConfigFile>, health_is_open: bool) -> Self {
        Self {
            bucket: Bucket::new(file.first().rate_limit),
            file,
            passwords: Passwords::new(),
            health_is_open,
        }
    }

    /// Whether a request from `peer` is to be answered.
    pub(super) async fn admit(&self, request: &Parts, peer: IpAddr) -> Admission {
        let refused = |status, text: &'static str| Admission::Refused(answer(status, PLAIN, text));
        let Ok(settings) = self.file.settings() else {
            let text = "The web configuration cannot be used. The log says why.\n";
            return refused(StatusCode::INTERNAL_SERVER_ERROR, text);
        };
        if !self.bucket.has_one() {
            return refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests\n");
        }
        let is_open = self.health_is_open && Site::is_health(request.uri.path());
        if settings.users.is_empty() || is_open {
            return Admission::Granted(Pass(settings));
        }
        let verdict = match credentials(&request.headers) {
            Some((user, password)) => {
                let users = &settings.users;
                self.passwords.check(users, &user, &password, peer).await
            }
            None => Verdict::Wrong,
        };
        match verdict {
            Verdict::Right => Admission::Granted(Pass(settings)),
            Verdict::Wrong => {
                let mut response = answer(StatusCode::UNAUTHORIZED, PLAIN, "Unauthorized\n");
                let challenge = HeaderValue::from_static("Basic");
                let headers = response.headers_mut();
                headers.insert(header::WWW_AUTHENTICATE, challenge);
                Admission::Refused(Pass(settings).sign(response))
            }
            Verdict::Busy => {
                warn!(%peer, "too many passwords to check at a time");
                let text = "Too many passwords are being checked. Try again later.\n";
                refused(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

/// The user and password of basic authentication, if they were sent.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = sent.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    let user = String::from_utf8(user.to_vec()).ok()?;
    Some((user, password.get(1..)?.to_vec()))
}

impl Bucket {
    fn new(limit: Option<RequestLimit>) -> Self {
        let Some(RequestLimit { burst, interval }) = limit else {
            return Self::Bottomless;
        };
        let quota = Quota::with_period(interval);
        match quota.zip(NonZeroU32::new(burst)) {
            Some((quota, burst)) => Self::Limited(RateLimiter::direct(quota.allow_burst(burst))),
            None => Self::Empty,
        }
    }

    /// Takes a request's due out of it, if it has it.
    fn has_one(&self) -> bool {
        match self {
            Self::Bottomless => true,
            Self::Empty => false,
            Self::Limited(bucket) => bucket.check().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn credentials_are_read_as_go_reads_them() {
        let read = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            credentials(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        let alice = Some(("alice".to_owned(), b"a:b".to_vec()));
        assert_eq!(read("Basic YWxpY2U6YTpi"), alice);
        assert_eq!(read("bAsIc YWxpY2U6YTpi"), alice);
        assert_eq!(read("Basic Og=="), Some((String::new(), Vec::new())));
        for none in [
            "",
            "Basic",
            "Basic ",
            "Basic YWxpY2U",
            "Basic YWxpY2U=",
            "Bearer YWxpY2U6YTpi",
            "Basic  Og==",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(credentials(&HeaderMap::new()), None);
    }

    #[test]
    fn a_bucket_is_full_at_first_and_then_fills_slowly() {
        let limit = |burst| RequestLimit {
            burst,
            interval: Duration::from_secs(3600),
        };
        let let_through = |limit| {
            let bucket = Bucket::new(limit);
            (0..9).filter(|_| bucket.has_one()).count()
        };
        assert_eq!(let_through(Some(limit(3))), 3);
        assert_eq!(let_through(Some(limit(0))), 0);
        assert_eq!(let_through(None), 9);
    }
}
