//! Where requests go: API endpoints and the proxy.

use std::fmt;
use std::hash::{Hash, Hasher};
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

/// One for all accounts that leave it to the default.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    scheme: &'static str,
    host: String,
    loopback: bool,
    url: String,
}

/// The URL follows from the rest.
impl Hash for Root {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.scheme, &self.host, self.loopback).hash(state);
    }
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
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::new(
                "a user name or password has no place in this URL",
                "remove the part before `@`",
            ));
        }
        let host = url.host_str().unwrap_or_default();
        let scheme = match url.scheme() {
            "http" => "http",
            _ => "https",
        };
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self::new(scheme, host, loopback))
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

/// An HTTP proxy's URL, maybe with a user name and password: they do not show
/// in `Debug` and `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// The whole URL, password included, for the HTTP client only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ProxyUrl {
    type Err = Fault;

    /// Errors on anything but `http[s]://[user[:password]@]host[:port]`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        parse_url(text).map(Self)
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        write!(f, "{}://", url.scheme())?;
        if !url.username().is_empty() || url.password().is_some() {
            f.write_str("<secret>@")?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        match url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// An `http://` or `https://` URL without path, query and fragment.
///
/// The parser is the HTTP client's own, so that both agree on the host.
fn parse_url(text: &str) -> Result<Url, Fault> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "https") => {}
        Some(_) => {
            return Err(Fault::new(
                "the URL's scheme is not supported",
                "write https://…",
            ));
        }
        None => return Err(Fault::new("the URL has no scheme", "write https://…")),
    }
    // The parser would drop or convert these without a word.
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let url = match Url::parse(text) {
        Ok(url) if !text.contains(odd) => url,
        _ => return Err(Fault::new("not a URL", "write https://<host>[:<port>]")),
    };
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new(
            "the URL goes on after the host",
            "keep only the scheme, the host and maybe a port",
        ));
    }
    Ok(url)
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
        for (text, message) in [
            ("a.example", "the URL has no scheme; write https://…"),
            ("https:a.example", "the URL has no scheme; write https://…"),
            ("", "the URL has no scheme; write https://…"),
            (
                "ftp://a",
                "the URL's scheme is not supported; write https://…",
            ),
            ("https://", "not a URL; write https://<host>[:<port>]"),
            ("https://a b", "not a URL; write https://<host>[:<port>]"),
            ("https://a\n", "not a URL; write https://<host>[:<port>]"),
            (
                "https://a:99999",
                "not a URL; write https://<host>[:<port>]",
            ),
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
                "a user name or password has no place in this URL; remove the part before `@`",
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
    fn the_metadata_service_needs_no_tls() {
        let endpoint = Endpoint::parse_without_tls("http://metadata.tencentyun.com/").unwrap();
        assert_eq!(endpoint, Endpoint::http("metadata.tencentyun.com"));
        assert!(!endpoint.is_https());
    }

    #[test]
    fn a_proxy_hides_who_logs_in() {
        let proxy: ProxyUrl = "http://me:hunter2@proxy:3128".parse().unwrap();
        assert_eq!(proxy.expose(), "http://me:hunter2@proxy:3128/");
        assert_eq!(proxy.to_string(), "http://<secret>@proxy:3128");
        assert_eq!(format!("{proxy:?}"), "ProxyUrl(http://<secret>@proxy:3128)");
        let open: ProxyUrl = "https://proxy".parse().unwrap();
        assert_eq!(open.to_string(), "https://proxy");
        assert!("socks5://proxy".parse::<ProxyUrl>().is_err());
    }
}
