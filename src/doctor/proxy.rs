//! Which proxy a request goes through.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::cloud::http::ProxySettings;
use crate::config::{Endpoint, Environment, ProxyUrl};

/// The rules by which the API client picks a proxy.
///
/// They are those of [`ProxySettings`], followed by the same library: a request cannot
/// be asked which way it went.
pub(super) struct Proxies(Option<Matcher>);

impl Proxies {
    pub(super) fn new(configured: Option<&ProxyUrl>, environment: &Environment) -> Self {
        Self(ProxySettings::new(configured, environment).map(|settings| {
            Matcher::builder()
                .https(settings.expose_url().to_owned())
                .no(settings.except().to_owned())
                .build()
        }))
    }

    /// The URL of the proxy on the way to `endpoint`, without user name and password.
    pub(super) fn on_the_way_to(&self, endpoint: &Endpoint) -> Option<String> {
        let Self(rules) = self;
        let uri: Uri = endpoint.url().parse().ok()?;
        let proxy = rules.as_ref()?.intercept(&uri)?;
        let (scheme, authority) = (proxy.uri().scheme_str()?, proxy.uri().authority()?);
        // Whatever the library makes of a password, what is before `@` is not shown.
        let host = authority.as_str().rsplit('@').next()?;
        Some(format!("{scheme}://{host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_the_way_to(endpoint: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let proxies = Proxies::new(None, &Environment::from_iter(variables));
        proxies.on_the_way_to(&endpoint.parse().unwrap())
    }

    #[test]
    fn a_proxy_is_named_without_who_logs_in() {
        let proxy = ("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128");
        let expected = Some("http://proxy.example:3128".to_owned());
        assert_eq!(on_the_way_to("https://cwp.example", &[proxy]), expected);
    }

    #[test]
    fn exceptions_and_this_machine_are_reached_without_it() {
        let proxy = ("ALL_PROXY", "http://proxy.example:3128");
        let except = ("NO_PROXY", "cwp.example");
        for endpoint in ["https://cwp.example", "https://[::1]:1", "http://127.0.0.1"] {
            assert_eq!(
                on_the_way_to(endpoint, &[proxy, except]),
                None,
                "{endpoint}"
            );
        }
        assert!(on_the_way_to("https://other.example", &[proxy, except]).is_some());
    }
}
