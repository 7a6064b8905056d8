//! The hosts of `NO_PROXY`.

use std::net::IpAddr;

use url::{Host, Url};

/// The hosts that are reached without a proxy, and this machine, which always is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`: all hosts.
    All,
    /// `example.com` or `.example.com`: the name and all below it, as for curl;
    /// `*.example.com`: only what is below it, as for Go.
    Name {
        name: String,
        only_below: bool,
        port: Option<u16>,
    },
    /// An address, or a network such as `10.0.0.0/8`.
    Network {
        address: IpAddr,
        prefix: u32,
        port: Option<u16>,
    },
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
    pub(super) fn have(&self, url: &Url) -> bool {
        let Self(exceptions) = self;
        let port = url.port_or_known_default();
        match url.host() {
            Some(Host::Domain(name)) => {
                let name = plain(name);
                name == "localhost" || exceptions.iter().any(|one| one.has_name(name, port))
            }
            Some(Host::Ipv4(address)) => self.have_address(address.into(), port),
            Some(Host::Ipv6(address)) => self.have_address(address.into(), port),
            None => false,
        }
    }

    fn have_address(&self, address: IpAddr, port: Option<u16>) -> bool {
        let Self(exceptions) = self;
        let address = address.to_canonical();
        address.is_loopback() || exceptions.iter().any(|one| one.has_address(address, port))
    }
}

impl Exception {
    fn read(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::All);
        }
        if let Some((address, prefix)) = entry.split_once('/') {
            let address = address_of(address)?;
            let prefix = prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= bits(address))?;
            return Some(Self::network(address, prefix, None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            _ if address_of(entry).is_some() => (entry, None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        if let Some(address) = address_of(host) {
            return Some(Self::network(address, bits(address), port));
        }
        let (only_below, name) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host.strip_prefix('.').unwrap_or(host)),
        };
        // As the endpoint's host is written: without capitals and other scripts.
        let Ok(Host::Domain(name)) = Host::parse(name) else {
            return None;
        };
        let is_name = rustls::pki_types::DnsName::try_from(name.as_str()).is_ok();
        is_name.then(|| Self::Name {
            name: plain(&name).to_owned(),
            only_below,
            port,
        })
    }

    fn network(address: IpAddr, prefix: u32, port: Option<u16>) -> Self {
        Self::Network {
            address,
            prefix,
            port,
        }
    }

    fn has_name(&self, host: &str, asked: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Name {
                name,
                only_below,
                port,
            } => {
                let rest = host.strip_suffix(name.as_str());
                let is_named = rest.is_some_and(|rest| match rest {
                    "" => !only_below,
                    rest => rest.ends_with('.'),
                });
                is_named && (port.is_none() || *port == asked)
            }
            Self::Network { .. } => false,
        }
    }

    fn has_address(&self, host: IpAddr, asked: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Name { .. } => false,
            Self::Network {
                address,
                prefix,
                port,
            } => {
                let ignored = bits(*address) - prefix;
                let network = |address| number(address).checked_shr(ignored).unwrap_or_default();
                bits(*address) == bits(host)
                    && network(*address) == network(host)
                    && (port.is_none() || *port == asked)
            }
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    let entries = list.split(|c: char| c == ',' || c.is_whitespace());
    entries.filter(|entry| !entry.is_empty())
}

/// A name without the dot that ends a full name. The parser has written it in small letters.
fn plain(name: &str) -> &str {
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

fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(list: &str, url: &str) -> bool {
        Exceptions::read(list).have(&url.parse().unwrap())
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
