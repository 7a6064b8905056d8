//! The checks of the web configuration: rate limit and basic authentication, in the order
//! of the exporter-toolkit.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tracing::warn;

use super::answers::LimitReached;
use super::body::Body;
use super::calendar;
use super::passwords::{Passwords, Verdict};
use super::reply::{self, PLAIN, answer};
use super::router::Router;
use crate::server::web_config::{RequestLimit, WebConfig, WebConfigFile};
use crate::system::log_limit::{LogLimit, hidden};

/// Refuses the requests that the web configuration does not allow.
pub(super) struct AuthLayer {
    file: Arc<WebConfigFile>,
    bucket: TokenBucket,
    passwords: Passwords,
    health_is_open: bool,
    log_wrong: LogLimit,
    log_wrong_token: LogLimit,
    log_busy: LogLimit,
}

/// The setting `rate_limit`.
#[derive(Debug)]
enum TokenBucket {
    Unlimited,
    /// With a burst of 0, no request is ever let through.
    Empty,
    Limited(DefaultDirectRateLimiter),
}

impl AuthLayer {
    /// Applies `file`. With `health_is_open` the paths of health and readiness need no
    /// password.
    pub(super) fn new(file: Arc<WebConfigFile>, health_is_open: bool) -> Self {
        Self {
            bucket: TokenBucket::new(file.initial().rate_limit),
            file,
            passwords: Passwords::new(),
            health_is_open,
            log_wrong: LogLimit::minute(),
            log_wrong_token: LogLimit::minute(),
            log_busy: LogLimit::minute(),
        }
    }

    /// The settings for the answer to a request from `peer`, or the refusal of the request.
    pub(super) async fn admit(
        &self,
        request: &Parts,
        peer: IpAddr,
    ) -> Result<Arc<WebConfig>, Response<Body>> {
        let Ok(settings) = self.file.settings().await else {
            let text = "The web configuration cannot be used. The log says why.\n";
            return Err(answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text));
        };
        if !self.bucket.try_take() {
            let text = "The rate_limit of the web configuration is reached. Try again later.\n";
            return Err(answer(StatusCode::TOO_MANY_REQUESTS, PLAIN, text));
        }
        let is_open = self.health_is_open && Router::is_health(request.uri.path());
        if settings.users.is_empty() || is_open {
            return Ok(settings);
        }
        if self.has_right_token(request, peer).await {
            return Ok(settings);
        }
        let verdict = match credentials(&request.headers) {
            Some((user, password)) => {
                let users = &settings.users;
                let verdict = self.passwords.check(users, &user, &password, peer).await;
                self.log(verdict, peer);
                verdict
            }
            // Browsers and probes send their first request without credentials.
            None => Verdict::Wrong,
        };
        let refusal = match verdict {
            Verdict::Right => return Ok(settings),
            Verdict::Wrong => {
                let mut response = answer(StatusCode::UNAUTHORIZED, PLAIN, "Unauthorized\n");
                let challenge = HeaderValue::from_static("Basic");
                let headers = response.headers_mut();
                headers.insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            Verdict::Busy => reply::refused(LimitReached::Passwords),
        };
        Err(settings.with_headers(refusal))
    }

    /// Whether a token in the URL opens the calendar. It opens nothing else.
    async fn has_right_token(&self, request: &Parts, peer: IpAddr) -> bool {
        let Some(token) = calendar::token(&request.uri) else {
            return false;
        };
        let is_right = self.file.admits_to_calendar(&token).await;
        if is_right == Some(false)
            && let Some(count) = self.log_wrong_token.admit()
        {
            warn!(%peer, hidden = hidden(count), "a wrong token for the calendar was refused");
        }
        is_right == Some(true)
    }

    /// Logs a refusal, without the user's name: people type passwords there.
    fn log(&self, verdict: Verdict, peer: IpAddr) {
        let (limit, text) = match verdict {
            Verdict::Right => return,
            Verdict::Wrong => (&self.log_wrong, "a wrong user or password was refused"),
            Verdict::Busy => (
                &self.log_busy,
                "a request was refused: too many passwords wait to be checked",
            ),
        };
        if let Some(count) = limit.admit() {
            warn!(%peer, hidden = hidden(count), "{text}");
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

impl TokenBucket {
    fn new(limit: Option<RequestLimit>) -> Self {
        let Some(RequestLimit { burst, interval }) = limit else {
            return Self::Unlimited;
        };
        // With a larger burst, the nanoseconds of the limiter would overflow.
        let most = (i64::MAX as u128 / interval.as_nanos().max(1)).max(1);
        let burst = burst.min(u32::try_from(most).unwrap_or(u32::MAX));
        let quota = Quota::with_period(interval);
        match quota.zip(NonZeroU32::new(burst)) {
            Some((quota, burst)) => Self::Limited(RateLimiter::direct(quota.allow_burst(burst))),
            None => Self::Empty,
        }
    }

    /// Takes one token, if there is one.
    fn try_take(&self) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Empty => false,
            Self::Limited(bucket) => bucket.check().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesUnordered;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::config::Environment;
    use crate::system::logging::fixture::CapturedLog;

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

    #[tokio::test]
    async fn when_too_many_passwords_wait_the_next_request_is_refused_with_retry_after() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // It takes long to check: nothing is known of any password meanwhile.
        let hash = "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW";
        let text = format!(
            "basic_auth_users: {{alice: {hash}}}\n\
             http_server_config: {{headers: {{X-Frame-Options: deny}}}}"
        );
        std::fs::write(file.path(), text).unwrap();
        let file = WebConfigFile::open(file.path(), &Environment::default()).unwrap();
        let auth_layer = AuthLayer::new(Arc::new(file), false);
        let ask = |number: u32| {
            let password = BASE64_STANDARD.encode(format!("alice:{number}"));
            let request = http::Request::get("/metrics")
                .header(header::AUTHORIZATION, format!("Basic {password}"))
                .body(())
                .unwrap();
            let (parts, ()) = request.into_parts();
            let auth_layer = &auth_layer;
            async move { auth_layer.admit(&parts, Ipv4Addr::LOCALHOST.into()).await }
        };
        let log = CapturedLog::start();
        let mut asked: FuturesUnordered<_> = (0..300).map(ask).collect();
        let mut refused = Vec::new();
        while refused.len() <= 100 {
            let Some(Err(answer)) = asked.next().await else {
                panic!("nobody is refused");
            };
            refused.push(answer);
        }
        let lines = log.lines();
        let [line] = lines.as_slice() else {
            panic!("however many are refused, the log says so once: {lines:?}");
        };
        assert!(line.contains("too many passwords wait"), "{line}");
        let refused = refused.swap_remove(0);
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "10");
        assert_eq!(refused.headers()[header::X_FRAME_OPTIONS], "deny");
        let text = refused.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            text,
            "Too many passwords are being checked. Try again later.\n"
        );
    }

    #[test]
    fn a_limit_beyond_what_can_be_counted_is_as_high_as_can_be() {
        let longest = u64::MAX >> 1;
        for (nanos, burst) in [
            (4_294_967_300, u32::MAX),
            (1, u32::MAX),
            (longest, u32::MAX),
            (longest / 2, 3),
            (longest, 1),
        ] {
            let interval = Duration::from_nanos(nanos);
            let bucket = TokenBucket::new(Some(RequestLimit { burst, interval }));
            assert!(bucket.try_take(), "{nanos} ns, {burst}");
            let more = (0..1000).filter(|_| bucket.try_take()).count();
            let expected = if nanos > longest / 1000 {
                0..=2
            } else {
                1000..=1000
            };
            assert!(expected.contains(&more), "{nanos} ns, {burst}: {more}");
        }
    }

    #[test]
    fn a_bucket_is_full_at_first_and_then_fills_slowly() {
        let limit = |burst| RequestLimit {
            burst,
            interval: Duration::from_secs(3600),
        };
        let let_through = |limit| {
            let bucket = TokenBucket::new(limit);
            (0..9).filter(|_| bucket.try_take()).count()
        };
        assert_eq!(let_through(Some(limit(3))), 3);
        assert_eq!(let_through(Some(limit(0))), 0);
        assert_eq!(let_through(None), 9);
    }
}
