//! The hosts of `NO_PROXY`.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use crate::config::endpoint::is_this_machine;

/// The hosts that are reached without a proxy. This machine is always one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Exception>);

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// The only port; all ports without.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// `*`.
    All,
    /// `example.com` or `.example.com`: the name and all below it, as for curl;
    /// `*.example.com`: only what is below it, as for Go.
    Name { name: String, only_below: bool },
    /// An address, or a network such as `10.0.0.0/8`.
    Network(IpNet),
}

impl Exceptions {
    /// Reads a list with commas or blanks between its entries. An entry that is not
    /// understood matches nothing, as for curl and Go.
    pub(super) fn read(list: &str) -> Self {
        Self(entries(list).filter_map(Exception::read).collect())
    }

    /// How many entries of `list` are not understood.
    pub(super) fn not_understood(list: &str) -> usize {
        let read = entries(list).map(Exception::read);
        read.filter(Option::is_none).count()
    }

    /// Whether `url` is reached without a proxy.
    pub(super) fn contain(&self, url: &Url) -> bool {
        let host = match url.host() {
            Some(Host::Domain(name)) => Host::Domain(without_dot(name)),
            Some(Host::Ipv4(address)) => canonical(address.into()),
            Some(Host::Ipv6(address)) => canonical(address.into()),
            None => return false,
        };
        let port = url.port_or_known_default();
        let mut exceptions = self.0.iter();
        is_this_machine(&host) || exceptions.any(|exception| exception.matches(&host, port))
    }
}

impl Exception {
    fn read(entry: &str) -> Option<Self> {
        if entry == "*" {
            let hosts = Hosts::All;
            return Some(Self { hosts, port: None });
        }
        if let Some((address, prefix)) = entry.split_once('/') {
            let network = IpNet::new(address_of(address)?, prefix.parse().ok()?);
            let hosts = Hosts::Network(network.ok()?);
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            _ if address_of(entry).is_some() => (entry, None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let hosts = match address_of(host) {
            Some(address) => Hosts::Network(address.into()),
            None => Hosts::below(host)?,
        };
        Some(Self { hosts, port })
    }

    fn matches(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let is_host = match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::Name { name, only_below }, Host::Domain(host)) => {
                match host.strip_suffix(name.as_str()) {
                    Some("") => !only_below,
                    Some(rest) => rest.ends_with('.'),
                    None => false,
                }
            }
            (Hosts::Network(network), Host::Ipv4(host)) => network.contains(&IpAddr::V4(*host)),
            (Hosts::Network(network), Host::Ipv6(host)) => network.contains(&IpAddr::V6(*host)),
            _ => false,
        };
        is_host && (self.port.is_none() || self.port == port)
    }
}

impl Hosts {
    /// The hosts of a name.
    fn below(host: &str) -> Option<Self> {
        let (only_below, name) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host.strip_prefix('.').unwrap_or(host)),
        };
        // As the endpoint's host is written: without capitals and other scripts.
        let Ok(Host::Domain(name)) = Host::parse(name) else {
            return None;
        };
        let is_name = rustls::pki_types::DnsName::try_from(name.as_str()).is_ok();
        let name = without_dot(&name).to_owned();
        is_name.then_some(Self::Name { name, only_below })
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    let entries = list.split(|c: char| c == ',' || c.is_whitespace());
    entries.filter(|entry| !entry.is_empty())
}

/// A name without the dot that ends a full name. The parser has written it in small letters.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// An address, in brackets or not.
fn address_of(text: &str) -> Option<IpAddr> {
    let inside = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: IpAddr = inside.unwrap_or(text).parse().ok()?;
    Some(address.to_canonical())
}

/// The host of an address, of IPv4 where it is mapped into IPv6.
fn canonical(address: IpAddr) -> Host<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(list: &str, url: &str) -> bool {
        Exceptions::read(list).contain(&url.parse().unwrap())
    }

    #[test]
    fn exceptions_match_as_for_curl_and_go() {
        for list in [
            "*",
            "cwp.tencentcloudapi.com",
            "tencentcloudapi.com",
            ".tencentcloudapi.com",
            "*.tencentcloudapi.com",
            "com",
            "tencentcloudapi.com.",
            ".tencentcloudapi.com.",
            "TencentCloudAPI.com",
            "cwp.tencentcloudapi.com:443",
            "*.tencentcloudapi.com:443",
            "  other.example , cwp.tencentcloudapi.com ",
            "other.example cwp.tencentcloudapi.com",
            "other.example,,\tcwp.tencentcloudapi.com,",
            "http://x/,cwp.tencentcloudapi.com",
        ] {
            assert!(have(list, "https://cwp.tencentcloudapi.com"), "{list}");
            assert!(have(list, "https://CWP.tencentcloudapi.com."), "{list}");
        }
        for list in [
            "",
            "api.com",
            "cloudapi.com",
            "*.cwp.tencentcloudapi.com",
            "x.cwp.tencentcloudapi.com",
            "cwp.tencentcloudapi.com:8443",
            "cwp.tencentcloudapi.com:x",
            "cwp.*.com",
            "*cwp.tencentcloudapi.com",
            "https://cwp.tencentcloudapi.com",
            "10.0.0.0/8",
            "0.0.0.0/0",
        ] {
            assert!(!have(list, "https://cwp.tencentcloudapi.com"), "{list}");
        }
        assert!(have(".a.example", "https://a.example"), "as for curl");
        assert!(!have("*.a.example", "https://a.example"), "as for Go");
        assert!(have("münchen.example", "https://münchen.example"));
    }

    #[test]
    fn addresses_and_networks_match_addresses() {
        for (list, url) in [
            ("10.1.2.3", "https://10.1.2.3"),
            ("10.0.0.0/8", "https://10.1.2.3:8443"),
            ("10.1.2.3/32", "https://10.1.2.3"),
            ("0.0.0.0/0", "https://10.1.2.3"),
            ("10.1.2.3:8443", "https://10.1.2.3:8443"),
            ("fd00::1", "https://[fd00::1]"),
            ("[fd00::1]", "https://[fd00::1]:8443"),
            ("[fd00::1]:8443", "https://[fd00::1]:8443"),
            ("FD00::/8", "https://[fd00::1]"),
            ("::/0", "https://[fd00::1]"),
            ("10.1.2.3", "https://[::ffff:10.1.2.3]"),
        ] {
            assert!(have(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("10.1.2.4", "https://10.1.2.3"),
            ("10.1.2", "https://10.1.2.3"),
            ("11.0.0.0/8", "https://10.1.2.3"),
            ("10.0.0.0/33", "https://10.1.2.3"),
            ("10.1.2.3:443", "https://10.1.2.3:8443"),
            ("[fd00::1]:443", "https://[fd00::1]:8443"),
            ("::/0", "https://10.1.2.3"),
        ] {
            assert!(!have(list, url), "{list} {url}");
        }
    }

    #[test]
    fn entries_that_match_nothing_are_counted() {
        let list = "a.example, https://b, c:port, 1.2.3.4/99, *, .d, a*b";
        assert_eq!(Exceptions::not_understood(list), 4);
        assert_eq!(Exceptions::not_understood(" , "), 0);
    }
}
