//! Where requests go.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use url::{Host, Url};

use super::problem::Fault;

/// A server's root: `https://` and a host, or `http://` and this very machine.
///
/// ```
/// use cwp_exporter::config::Endpoint;
///
/// let endpoint: Endpoint = "https://cwp.tencentcloudapi.com:443/".parse()?;
/// assert_eq!(endpoint.url(), "https://cwp.tencentcloudapi.com");
/// assert_eq!(endpoint.host(), "cwp.tencentcloudapi.com");
/// assert!("http://cwp.tencentcloudapi.com".parse::<Endpoint>().is_err());
/// # Ok::<(), cwp_exporter::config::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Arc<Root>);

/// One for all accounts without an endpoint of their own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Root {
    scheme: &'static str,
    host: String,
    loopback: bool,
    url: String,
}

impl Endpoint {
    /// `https://<host>`; `host` is one of ours and known to be well formed.
    pub(super) fn https(host: &str) -> Self {
        Self::new("https", host.to_owned(), false)
    }

    /// `http://<host>`; `host` is one of ours and known to be well formed.
    pub(super) fn http(host: &str) -> Self {
        Self::new("http", host.to_owned(), false)
    }

    fn new(scheme: &'static str, host: String, loopback: bool) -> Self {
        Self(Arc::new(Root {
            scheme,
            url: format!("{scheme}://{host}"),
            host,
            loopback,
        }))
    }

    /// Like `parse`, but allows `http://` to any host: the metadata service has
    /// no TLS.
    pub(super) fn parse_without_tls(text: &str) -> Result<Self, Fault> {
        let url = parse_url(text)?;
        if text.contains('@') {
            return Err(Fault::new(
                "this URL must not have a user name or a password",
                "remove the part before `@`",
            ));
        }
        let scheme = match url.scheme() {
            "http" => "http",
            _ => "https",
        };
        let loopback = url.host().is_some_and(|host| is_this_machine(&host));
        Ok(Self::new(scheme, url.authority().to_owned(), loopback))
    }

    /// `https://host` or `https://host:port`: no trailing slash, no default port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The value of the `Host` header, with the port unless it is the scheme's own.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme == "https"
    }
}

impl FromStr for Endpoint {
    type Err = Fault;

    /// Errors on anything but `https://host[:port]` or `http://` to loopback
    /// (`127.0.0.0/8`, `[::1]`, `localhost`). One trailing slash is fine.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let endpoint = Self::parse_without_tls(text)?;
        if endpoint.0.scheme == "http" && !endpoint.0.loopback {
            return Err(Fault::new(
                format!("`{endpoint}` is not encrypted"),
                format!("write https://{}", endpoint.host()),
            ));
        }
        Ok(endpoint)
    }
}

/// The same as [`Endpoint::url`].
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url())
    }
}

/// An `http://` or `https://` URL without path, query and fragment, whose host can be
/// connected to.
///
/// The parser is the HTTP client's own, so that both agree on the host.
pub(super) fn parse_url(text: &str) -> Result<Url, Fault> {
    const FORM: &str = "write https://<host>[:<port>]";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Fault::new("the URL has no scheme", "write https://…"));
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(Fault::new(
            "the URL's scheme is not supported",
            "write https://…",
        ));
    }
    // The parser would drop or convert these without a word.
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if text.contains(odd) {
        return Err(Fault::new(
            "the URL has a blank, a line end, a control character or a backslash",
            FORM,
        ));
    }
    let tail = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..));
    if !matches!(tail, None | Some("/")) {
        return Err(Fault::new(
            "the URL goes on after the host",
            "keep only the scheme, the host and maybe a port",
        ));
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::InvalidPort => Fault::new(
            "the port is not a number from 1 to 65535",
            "write the number after the colon, or leave both out",
        ),
        _ => Fault::new("not a URL", FORM),
    })?;
    if url.port() == Some(0) {
        return Err(Fault::new(
            "nothing can be reached at port 0",
            "write a port from 1 to 65535, or none",
        ));
    }
    if !is_host(&url) {
        return Err(Fault::new(
            "the host is neither a name that DNS can have nor an address",
            "write letters, digits, hyphens and dots, or an address",
        ));
    }
    Ok(url)
}

/// Whether a host is known to be this machine without a look-up.
pub(super) fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether the host can be looked up, and stand in a certificate and in a request. The URL's
/// parser takes more: quotes, braces, asterisks.
fn is_host(url: &Url) -> bool {
    let can_be_asked = url.as_str().parse::<http::Uri>().is_ok();
    let can_be_found = match url.host() {
        Some(Host::Domain(name)) => rustls::pki_types::DnsName::try_from(name).is_ok(),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    can_be_asked && can_be_found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_normalised() {
        for (text, url, host) in [
            ("https://a.example", "https://a.example", "a.example"),
            ("HTTPS://A.Example/", "https://a.example", "a.example"),
            ("https://a:443", "https://a", "a"),
            ("https://a:8443/", "https://a:8443", "a:8443"),
            ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1"),
            ("http://127.9.9.9:81", "http://127.9.9.9:81", "127.9.9.9:81"),
            ("http://[::1]:81", "http://[::1]:81", "[::1]:81"),
            ("http://localhost:81", "http://localhost:81", "localhost:81"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.url(), url);
            assert_eq!(endpoint.host(), host);
            assert_eq!(endpoint.is_https(), url.starts_with("https:"), "{text}");
        }
    }

    #[test]
    fn bad_endpoints_are_refused_with_a_remedy() {
        const BLANK: &str = "the URL has a blank, a line end, a control character or a backslash; \
                             write https://<host>[:<port>]";
        const PORT: &str = "the port is not a number from 1 to 65535; write the number after the \
                            colon, or leave both out";
        const HOST: &str = "the host is neither a name that DNS can have nor an address; write \
                            letters, digits, hyphens and dots, or an address";
        for (text, message) in [
            ("a.example", "the URL has no scheme; write https://…"),
            ("https:a.example", "the URL has no scheme; write https://…"),
            ("", "the URL has no scheme; write https://…"),
            (
                "ftp://a",
                "the URL's scheme is not supported; write https://…",
            ),
            ("https://", "not a URL; write https://<host>[:<port>]"),
            ("https://a b", BLANK),
            ("https://a\n", BLANK),
            ("https://a\u{7}", BLANK),
            ("https://a\\b", BLANK),
            ("https://a:99999", PORT),
            ("https://a:65536", PORT),
            ("https://a:x", PORT),
            (
                "https://a:0",
                "nothing can be reached at port 0; write a port from 1 to 65535, or none",
            ),
            ("https://a`b", HOST),
            ("https://a\"b", HOST),
            ("https://'a'", HOST),
            ("https://{a}", HOST),
            ("https://*.a", HOST),
            ("https://a..b", HOST),
            ("https://.a", HOST),
            ("https://-a", HOST),
            ("https://a,b", HOST),
            ("https://a$b", HOST),
            ("https://a%22b", HOST),
            (
                "http://a:8080",
                "`http://a:8080` is not encrypted; write https://a:8080",
            ),
            (
                "http://localhost.evil",
                "`http://localhost.evil` is not encrypted; write https://localhost.evil",
            ),
            (
                "https://u:hunter2@a",
                "this URL must not have a user name or a password; remove the part before `@`",
            ),
            (
                "https://@a",
                "this URL must not have a user name or a password; remove the part before `@`",
            ),
            (
                "https://a/.",
                "the URL goes on after the host; keep only the scheme, the host and maybe a port",
            ),
            (
                "https://a/p",
                "the URL goes on after the host; keep only the scheme, the host and maybe a port",
            ),
            (
                "https://a//",
                "the URL goes on after the host; keep only the scheme, the host and maybe a port",
            ),
            (
                "https://a?q",
                "the URL goes on after the host; keep only the scheme, the host and maybe a port",
            ),
            (
                "https://a#f",
                "the URL goes on after the host; keep only the scheme, the host and maybe a port",
            ),
        ] {
            let fault = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(fault.to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_request_can_be_built_for_every_endpoint_that_is_taken() {
        for host in 0..0x250_u32 {
            let Some(c) = char::from_u32(host) else {
                continue;
            };
            for text in [
                format!("https://a{c}b"),
                format!("https://{c}"),
                format!("https://a{c}"),
            ] {
                if let Ok(endpoint) = text.parse::<Endpoint>() {
                    let uri: http::Uri = format!("{endpoint}/").parse().unwrap();
                    assert_eq!(uri.authority().unwrap(), endpoint.host(), "{text:?}");
                    http::HeaderValue::from_str(endpoint.host()).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_metadata_service_needs_no_tls() {
        let endpoint = Endpoint::parse_without_tls("http://metadata.tencentyun.com/").unwrap();
        assert_eq!(endpoint, Endpoint::http("metadata.tencentyun.com"));
        assert!(!endpoint.is_https());
    }
}
