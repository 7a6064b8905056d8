//! Why there is no answer: the failed step and its peer, in a message with a remedy.

use std::error::Error as StdError;
use std::io;
use std::ops::Range;

use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::Offset;
use reqwest::Url;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::cloud::Error;
use crate::config::ProxyUrl;
use crate::metrics::reason::Reason;

/// Outside of these years a clock is likely wrong: this program is not older, and hardly in
/// use for longer. Inside of them, the certificate may be to blame as well.
const PLAUSIBLE_YEARS: Range<i16> = 2026..2036;

/// The service that was asked, and the proxy in between.
#[derive(Clone, Copy)]
pub(super) struct Hops<'a> {
    pub(super) service: &'a Url,
    pub(super) proxy: Option<&'a ProxyUrl>,
}

impl Hops<'_> {
    /// The error for a request that got no answer.
    pub(super) fn no_answer(self, error: &reqwest::Error) -> Error {
        if error.is_timeout() {
            let message = format!("no answer from {} in time", self.service.authority());
            return Error::new(Reason::Timeout, message);
        }
        let step = FailedStep::of(error);
        // Before there is a tunnel, the peer is the proxy.
        let peer = match (self.proxy, step.is_in_tunnel) {
            (Some(proxy), true) => format!("the proxy {}", proxy.address()),
            _ => self.service.authority().to_owned(),
        };
        let root = root(error);
        let network = |problem| (Reason::Network, problem);
        let (reason, problem) = match step.kind {
            FailureCategory::Name => {
                network(format!("the name of {peer} does not resolve: {root}"))
            }
            FailureCategory::Connect => network(format!("cannot connect to {peer}: {root}")),
            FailureCategory::Tls => tls(error, &peer, &root),
            FailureCategory::Other if step.is_in_tunnel => {
                network(format!("{peer} opened no tunnel: {root}"))
            }
            FailureCategory::Other => network(format!(
                "the connection to {peer} broke before an answer came: {root}"
            )),
        };
        let way = match self.proxy {
            Some(_) if step.is_in_tunnel => format!(", on the way to {}", self.service.authority()),
            Some(proxy) => format!(", through the proxy {}", proxy.address()),
            None => String::new(),
        };
        Error::new(reason, format!("{problem}{way}"))
    }

    /// The error for a proxy that answered to a request for a tunnel with `status`.
    pub(super) fn no_tunnel(self, proxy: &ProxyUrl, status: u16) -> Error {
        let advice = match status {
            407 => {
                "the proxy requires another user name and password: write them in api.proxy_url or \
                 in the variable that names the proxy"
            }
            401 | 403 | 405 => {
                "the proxy forbids this connection: allow the endpoint's host and port there"
            }
            502..=504 => {
                "the proxy cannot reach the endpoint: check name resolution, routes and firewalls \
                 there"
            }
            _ => "check that this is an HTTP proxy, and that it allows CONNECT",
        };
        let status = StatusCode::from_u16(status)
            .map_or_else(|_| status.to_string(), |status| status.to_string());
        let message = format!(
            "the proxy {} answered with HTTP status {status} instead of a tunnel to {}; {advice}",
            proxy.address(),
            self.service.authority()
        );
        Error::new(Reason::Network, message)
    }
}

/// Whether a proxy was reached and gave no tunnel.
pub(super) fn is_refused_tunnel(error: &reqwest::Error) -> bool {
    let step = FailedStep::of(error);
    step.is_in_tunnel && matches!(step.kind, FailureCategory::Other)
}

/// On which step a request failed.
struct FailedStep {
    kind: FailureCategory,
    is_in_tunnel: bool,
}

enum FailureCategory {
    Name,
    Connect,
    Tls,
    Other,
}

impl FailedStep {
    /// The client's own types are hidden, but not their words.
    fn of(error: &reqwest::Error) -> Self {
        let mut step = Self {
            kind: FailureCategory::Other,
            is_in_tunnel: false,
        };
        for cause in causes(error) {
            let words = cause.to_string();
            if words.starts_with("tunnel error") {
                step.is_in_tunnel = true;
            } else if words == "dns error" {
                step.kind = FailureCategory::Name;
            } else if words.starts_with("tcp ") {
                step.kind = FailureCategory::Connect;
            } else if tls_error(cause).is_some() {
                step.kind = FailureCategory::Tls;
            }
        }
        step
    }
}

/// A failed greeting.
fn tls(error: &reqwest::Error, peer: &str, root: &str) -> (Reason, String) {
    let out_of_time = match causes(error).find_map(tls_error) {
        Some(rustls::Error::InvalidCertificate(error)) => out_of_time(error, peer),
        _ => None,
    };
    out_of_time.unwrap_or_else(|| (Reason::Network, format!("no TLS with {peer}: {root}")))
}

/// What to say of a certificate that is not valid at this time: the clock is wrong if this
/// time is not plausible.
fn out_of_time(error: &CertificateError, peer: &str) -> Option<(Reason, String)> {
    let (problem, now, limit) = match error {
        CertificateError::NotValidYetContext { time, not_before } => {
            ("is not valid before", time, not_before)
        }
        CertificateError::ExpiredContext { time, not_after } => ("has expired at", time, not_after),
        _ => return None,
    };
    let (now, limit) = (timestamp(*now), timestamp(*limit));
    let year = now.map(|now| Offset::UTC.to_datetime(now).year());
    let is_plausible = year.is_some_and(|year| PLAUSIBLE_YEARS.contains(&year));
    let show = |time: Option<Timestamp>| time.map_or("?".to_owned(), |time| time.to_string());
    let (now, limit) = (show(now), show(limit));
    Some(if is_plausible {
        let cause =
            format!("its certificate {problem} {limit}, and this machine's clock says {now}");
        (Reason::Network, format!("no TLS with {peer}: {cause}"))
    } else {
        let clock = format!("this machine's clock says {now}, which cannot be right");
        let cause = format!("the certificate of {peer} {problem} {limit}");
        (Reason::Clock, format!("{clock}: {cause}"))
    })
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(time.as_secs().try_into().ok()?).ok()
}

/// The words of the innermost cause: those around it repeat what is said already.
fn root(error: &(dyn StdError + 'static)) -> String {
    let words = causes(error).last().map(|cause| match tls_error(cause) {
        Some(inner) => inner.to_string(),
        None => cause.to_string(),
    });
    words.unwrap_or_else(|| error.to_string())
}

pub(super) fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// What TLS says, which hides in errors of input and output.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let inner = error.downcast_ref().and_then(io::Error::get_ref);
    match inner {
        Some(inner) => tls_error(inner),
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(time: &str) -> UnixTime {
        let time: Timestamp = time.parse().unwrap();
        UnixTime::since_unix_epoch(Duration::from_secs(time.as_second().try_into().unwrap()))
    }

    #[test]
    fn a_certificate_out_of_its_time_blames_the_clock_only_if_that_is_not_plausible() {
        let (not_before, not_after) = (at("2026-10-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        for (now, reason) in [
            ("1970-01-01T00:02:00Z", Reason::Clock),
            ("1999-12-31T00:00:00Z", Reason::Clock),
            ("2025-01-01T00:00:00Z", Reason::Clock),
            ("2026-09-30T00:00:00Z", Reason::Network),
        ] {
            let time = at(now);
            let error = CertificateError::NotValidYetContext { time, not_before };
            let (found, message) = out_of_time(&error, "cwp.example").unwrap();
            assert_eq!(found, reason, "{now}");
            assert!(message.contains(now), "{message}");
            assert!(message.contains("cwp.example"), "{message}");
            assert!(
                message.contains("is not valid before 2026-10-01"),
                "{message}"
            );
        }
        for (now, reason) in [
            ("2027-01-01T00:00:00Z", Reason::Network),
            ("2031-01-01T00:00:00Z", Reason::Network),
            ("2036-01-01T00:00:00Z", Reason::Clock),
            ("2106-02-07T06:28:15Z", Reason::Clock),
        ] {
            let time = at(now);
            let error = CertificateError::ExpiredContext { time, not_after };
            let (found, message) = out_of_time(&error, "cwp.example").unwrap();
            assert_eq!(found, reason, "{now}");
            assert!(
                message.contains(now) && message.contains("has expired at 2026-12-31"),
                "{message}"
            );
        }
        assert_eq!(out_of_time(&CertificateError::UnknownIssuer, "x"), None);
    }
}
