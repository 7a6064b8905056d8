//! Which requests go through a proxy: `api.proxy_url` or the usual variables, as curl and
//! Go read them.

mod exceptions;

use std::fmt;
use std::str::FromStr;

use url::{Position, Url};

use self::exceptions::Exceptions;
use super::endpoint::parse_url;
use super::environment::Environment;
use super::problem::Fault;

/// The variables that may name a proxy for `https://`; the first that is set counts.
/// `HTTP_PROXY` is not among them: only requests over TLS leave this machine, and a CGI
/// server sets that variable from a client's header.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that may name hosts to reach without a proxy; the first that is set counts.
const EXCEPTION_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// An HTTP proxy's URL, maybe with a user name and password: they do not show
/// in `Debug` and `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// The whole URL, password included, for the HTTP client only.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The URL without who logs in, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://{}", self.0.scheme(), self.host())
    }

    /// The host, with its port unless it is the scheme's own.
    fn host(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }
}

impl FromStr for ProxyUrl {
    type Err = Fault;

    /// Errors on anything but `[http[s]://][user[:password]@]host[:port]`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        const FORM: &str = "write http://<host>:<port>";
        let url = match text.split_once("://") {
            // As curl and Go take it.
            None => parse_url(&format!("http://{text}")),
            Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("socks") => {
                return Err(Fault::new(
                    "SOCKS proxies are not supported",
                    format!("name an HTTP proxy: {FORM}"),
                ));
            }
            Some((scheme, _)) if !["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
                return Err(Fault::new("the proxy's scheme is not supported", FORM));
            }
            Some(_) => parse_url(text),
        };
        match url {
            Ok(url) => Ok(Self(url)),
            Err(_) if text.contains('@') => Err(Fault::new(
                "the proxy is not a usable URL",
                "write http://<user>:<password>@<host>:<port>; in the password, write `/` as %2F, \
                 `?` as %3F, `#` as %23, `@` as %40 and `%` as %25",
            )),
            Err(fault) => Err(Fault::new(
                format!("the proxy is not usable: {}", fault.what),
                FORM,
            )),
        }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.0.scheme(), self.host());
        let has_login = self.0.authority() != host;
        let login = if has_login { "<secret>@" } else { "" };
        write!(f, "{scheme}://{login}{host}")
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// The proxy of requests over TLS that leave this machine, and the hosts that are reached
/// without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    proxy: Option<ProxyUrl>,
    exceptions: Exceptions,
}

impl Proxies {
    /// The `configured` proxy, otherwise that of the environment. When the variable that
    /// names it cannot be used, there is no proxy, and the fault is returned with the variable's name.
    pub(super) fn new(
        configured: Option<&ProxyUrl>,
        environment: &Environment,
    ) -> (Self, Option<(&'static str, Fault)>) {
        let (proxy, fault) = match (configured, environment.first(&PROXY_VARIABLES)) {
            (Some(url), _) => (Some(url.clone()), None),
            (None, Some((name, text))) => match text.parse() {
                Ok(url) => (Some(url), None),
                Err(fault) => (None, Some((name, fault))),
            },
            (None, None) => (None, None),
        };
        let exceptions = environment.first(&EXCEPTION_VARIABLES);
        let exceptions = exceptions.map(|(_, list)| Exceptions::read(list));
        let exceptions = exceptions.unwrap_or_default();
        (Self { proxy, exceptions }, fault)
    }

    /// Whether there is no proxy at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proxy.is_none()
    }

    /// The proxy on the way to `url`, if the way leads through one. `http://` only leads to
    /// this machine and to the metadata service, and never through a proxy.
    #[must_use]
    pub fn on_the_way_to(&self, url: &Url) -> Option<&ProxyUrl> {
        let proxy = self.proxy.as_ref()?;
        self.apply_to(url).then_some(proxy)
    }

    /// Whether a proxy, if there is one, is on the way to `url`.
    pub(super) fn would_proxy(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.apply_to(&url))
    }

    fn apply_to(&self, url: &Url) -> bool {
        url.scheme() == "https" && !self.exceptions.contain(url)
    }

    /// What of the exceptions is not understood, for a warning.
    pub(super) fn warning(environment: &Environment) -> Option<String> {
        let (name, list) = environment.first(&EXCEPTION_VARIABLES)?;
        let odd = Exceptions::not_understood(list);
        (odd > 0).then(|| {
            let entries = if odd == 1 {
                "1 entry"
            } else {
                &format!("{odd} entries")
            };
            format!(
                "{name}: {entries} cannot be understood and match nothing; write hosts, \
                 `.domain`, `host:port`, addresses or networks such as 10.0.0.0/8, with commas \
                 between them"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> (Proxies, Option<(&'static str, Fault)>) {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Proxies::new(None, &Environment::from_iter(variables))
    }

    fn proxy_for(endpoint: &str, variables: &[(&str, &str)]) -> Option<String> {
        let (proxies, fault) = proxies(variables);
        assert!(fault.is_none(), "{fault:?}");
        let proxy = proxies.on_the_way_to(&endpoint.parse().unwrap());
        proxy.map(ProxyUrl::address)
    }

    #[test]
    fn a_proxy_hides_who_logs_in() {
        for (text, place, shown) in [
            (
                "http://me:hunter2@proxy:3128",
                "http://proxy:3128",
                "http://<secret>@proxy:3128",
            ),
            ("https://proxy", "https://proxy", "https://proxy"),
            ("HTTP://Proxy:80/", "http://proxy", "http://proxy"),
            ("proxy:3128", "http://proxy:3128", "http://proxy:3128"),
            (
                "10.0.0.1:3128",
                "http://10.0.0.1:3128",
                "http://10.0.0.1:3128",
            ),
            ("[::1]:3128", "http://[::1]:3128", "http://[::1]:3128"),
            (
                "me:hunter2@proxy:3128",
                "http://proxy:3128",
                "http://<secret>@proxy:3128",
            ),
            (
                "http://me:hun@ter%2F2@proxy",
                "http://proxy",
                "http://<secret>@proxy",
            ),
        ] {
            let proxy: ProxyUrl = text.parse().unwrap();
            assert_eq!(proxy.address(), place);
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), format!("ProxyUrl({shown})"));
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_showing_it() {
        for (text, what) in [
            (
                "socks5://me:hunter2@proxy",
                "SOCKS proxies are not supported",
            ),
            ("SOCKS5H://proxy:1080", "SOCKS proxies are not supported"),
            (
                "ftp://me:hunter2@proxy",
                "the proxy's scheme is not supported",
            ),
            (
                "http://me:hunter2#x@proxy:1",
                "the proxy is not a usable URL",
            ),
            (
                "http://me:hunter2/x@proxy:1",
                "the proxy is not a usable URL",
            ),
            ("me:hunter2 x@proxy", "the proxy is not a usable URL"),
            (
                "http://proxy:99999",
                "the proxy is not usable: the port is not a number from 1 to 65535",
            ),
            (
                "proxy:0",
                "the proxy is not usable: nothing can be reached at port 0",
            ),
            ("http://", "the proxy is not usable: not a URL"),
            ("'http://proxy:1'", "the proxy's scheme is not supported"),
        ] {
            let fault = text.parse::<ProxyUrl>().unwrap_err();
            assert_eq!(fault.what, what, "{text}");
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_counts_and_an_empty_one_is_not() {
        const API: &str = "https://cwp.example";
        for (variables, proxy) in [
            (&[("HTTPS_PROXY", "a:1")][..], Some("http://a:1")),
            (&[("https_proxy", "a:1")], Some("http://a:1")),
            (
                &[("ALL_PROXY", "a:1"), ("all_proxy", "b:1")],
                Some("http://a:1"),
            ),
            (
                &[("HTTPS_PROXY", ""), ("all_proxy", "b:1")],
                Some("http://b:1"),
            ),
            (&[("HTTPS_PROXY", " "), ("https_proxy", "")], None),
            (&[("HTTP_PROXY", "a:1"), ("http_proxy", "a:1")], None),
            (
                &[("HTTPS_PROXY", "a:1"), ("ALL_PROXY", "socks5://b")],
                Some("http://a:1"),
            ),
            (
                &[("HTTPS_PROXY", "a:1"), ("NO_PROXY", ""), ("no_proxy", "*")],
                None,
            ),
            (
                &[("HTTPS_PROXY", "a:1"), ("NO_PROXY", "x"), ("no_proxy", "*")],
                Some("http://a:1"),
            ),
        ] {
            assert_eq!(proxy_for(API, variables).as_deref(), proxy, "{variables:?}");
        }
        let (proxies, fault) = proxies(&[("all_proxy", "socks5://me:hunter2@b")]);
        assert_eq!(fault.unwrap().0, "all_proxy");
        assert_eq!(proxies.on_the_way_to(&API.parse().unwrap()), None);
    }

    #[test]
    fn this_machine_and_plain_http_are_reached_without_it() {
        let proxy = ("ALL_PROXY", "http://proxy.example:3128");
        for endpoint in [
            "https://localhost",
            "https://LOCALHOST.:1",
            "https://[::1]:1",
            "https://127.0.0.1",
            "https://127.8.9.1:1",
            "http://metadata.tencentyun.com",
        ] {
            assert_eq!(proxy_for(endpoint, &[proxy]), None, "{endpoint}");
        }
        assert!(proxy_for("https://localhost.example", &[proxy]).is_some());
    }
}
