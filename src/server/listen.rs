//! Addresses as Prometheus' tools write them: `:10064`, `127.0.0.1:10064`, `[::1]:10064`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// Where to listen: `HOST:PORT`, or `:PORT` for every address of this machine.
///
/// HOST is an IPv4 address, an IPv6 address in brackets or a name; port 0 is any free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Without brackets; absent for every address.
    host: Option<String>,
    port: u16,
}

/// A text is not a [`ListenAddress`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{problem}; write HOST:PORT, such as 127.0.0.1:10064 or [::1]:10064, or :10064 for all addresses"
)]
pub struct NotAnAddress {
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = |problem| Err(NotAnAddress { problem });
        if text.is_empty() {
            return wrong("the address is empty");
        }
        if text.contains("://") {
            return wrong("an address has no scheme such as http://");
        }
        if text.contains('/') {
            return wrong("an address has no path");
        }
        if text.contains(',') {
            return wrong("an address has no comma");
        }
        if is_number(text) {
            return wrong("the port has no colon before it");
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return wrong("an IPv6 address needs brackets and a port");
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) => (Host::Bracketed(host), port),
                None => return wrong("the bracket after the IPv6 address is missing"),
            },
            None => match text.find(':') {
                Some(colon) => {
                    let (host, port) = text.split_at_checked(colon).unwrap_or((text, ""));
                    (Host::Plain(host), port)
                }
                None => (Host::Plain(text), ""),
            },
        };
        let Some(port) = port.strip_prefix(':') else {
            return wrong("the port is missing");
        };
        if port.is_empty() {
            return wrong("the port is missing");
        }
        if port.contains(':') {
            return wrong("an IPv6 address needs brackets and a port");
        }
        if !is_number(port) {
            return wrong("the port is not a number");
        }
        let Ok(port) = port.parse() else {
            return wrong("a port is at most 65535");
        };
        let host = match host {
            Host::Plain("") => None,
            Host::Plain("*") => return wrong("* is no host; leave the host out"),
            Host::Plain(host) => {
                if !host.chars().all(is_of_a_name) || host.starts_with(['-', '.']) {
                    return wrong("the host is neither an IP address nor a name");
                }
                let last = host.trim_end_matches('.').rsplit('.').next();
                if last.is_some_and(is_number) && host.parse::<Ipv4Addr>().is_err() {
                    return wrong("the host is not an IPv4 address");
                }
                Some(host)
            }
            Host::Bracketed(host) => {
                // A zone, as in `fe80::1%eth0`, is an interface of this machine.
                let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
                if address.parse::<Ipv6Addr>().is_err() || zone.is_empty() {
                    return wrong("what is in the brackets is not an IPv6 address");
                }
                Some(host)
            }
        };
        Ok(Self {
            host: host.map(str::to_owned),
            port,
        })
    }
}

/// The host as it was written.
enum Host<'t> {
    Plain(&'t str),
    Bracketed(&'t str),
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_of_a_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// The form that it is read from.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{}:{}", host.unwrap_or_default(), self.port),
        }
    }
}

impl ListenAddress {
    /// Whether it is for this machine's own programs only, as far as that is known before
    /// a name is looked up.
    #[must_use]
    pub fn may_be_loopback(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }

    /// Without a host, the one that stands for every address.
    fn ip(&self) -> Option<IpAddr> {
        let Some(host) = self.host.as_deref() else {
            return Some(Ipv6Addr::UNSPECIFIED.into());
        };
        let (host, _zone) = host.split_once('%').unwrap_or((host, ""));
        host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Whether nothing is left to listen on for `other`, as far as that is known before
    /// names are looked up. `[::]` may be the addresses of `both_families`.
    fn covers(&self, other: &Self, both_families: bool) -> bool {
        if self.port != other.port || self.port == 0 {
            return false;
        }
        match (self.ip(), other.ip()) {
            (Some(IpAddr::V6(own)), other) if own.is_unspecified() => {
                both_families || matches!(other, Some(IpAddr::V6(_)))
            }
            (Some(IpAddr::V4(own)), Some(IpAddr::V4(_))) if own.is_unspecified() => true,
            (Some(own), Some(others)) => own == others && self.zone() == other.zone(),
            (None, None) => self.name() == other.name(),
            _ => false,
        }
    }

    fn zone(&self) -> Option<&str> {
        let (_, zone) = self.host.as_deref()?.split_once('%')?;
        Some(zone)
    }

    fn name(&self) -> Option<String> {
        let name = self.host.as_deref()?;
        Some(name.trim_end_matches('.').to_ascii_lowercase())
    }

    /// The addresses that it stands for; a name is looked up.
    ///
    /// # Errors
    ///
    /// When the name is not known, or cannot be looked up now.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self.host.as_deref() {
            Some(host) => Ok(tokio::net::lookup_host((host, self.port)).await?.collect()),
            None => Ok(vec![(Ipv6Addr::UNSPECIFIED, self.port).into()]),
        }
    }

    /// Listens there. Every address is those of both families where there are two.
    async fn bind(&self) -> io::Result<TcpListener> {
        let addresses = self.resolve().await?;
        match TcpListener::bind(addresses.as_slice()).await {
            // Where IPv6 is switched off, the other family is all there is.
            Err(error) if self.host.is_none() && error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port)).await
            }
            bound => bound,
        }
    }
}

/// Two of `addresses` that cannot be listened on together, as far as that is known before
/// names are looked up.
#[must_use]
pub fn clash<'a>(
    addresses: &[&'a ListenAddress],
) -> Option<(&'a ListenAddress, &'a ListenAddress)> {
    let both_families = has_both_families();
    addresses.iter().enumerate().find_map(|(index, one)| {
        let mut others = addresses.iter().skip(index + 1);
        let other = others
            .find(|other| one.covers(other, both_families) || other.covers(one, both_families))?;
        Some((*one, *other))
    })
}

/// Whether who listens on `[::]` gets what comes by IPv4 too, as the system is set.
fn has_both_families() -> bool {
    let apart = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    apart.map_or(true, |apart| apart.trim() != "1")
}

/// There is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address could not be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose another address with --web.listen-address"
    )]
    Address {
        /// As it was given.
        address: ListenAddress,
        /// What the system says.
        source: io::Error,
    },
    /// The service manager has passed no socket to this process.
    #[error(
        "--web.systemd-socket: no socket was passed (LISTEN_FDS, LISTEN_PID); start the \
         exporter by its .socket unit, or leave the flag out"
    )]
    NoSocket,
    /// A socket that was passed is none that listens for TCP.
    #[error(
        "--web.systemd-socket: socket {index} of those passed cannot be used: {source}; pass \
         TCP sockets only (ListenStream= with a port)"
    )]
    Socket {
        /// Counted from 0.
        index: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on the sockets that the service manager has passed if they are `inherited`,
/// otherwise on `addresses`.
///
/// # Errors
///
/// See [`ListenError`].
pub async fn listen(
    inherited: bool,
    addresses: &[ListenAddress],
) -> Result<Vec<TcpListener>, ListenError> {
    if inherited {
        return self::inherited();
    }
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = address.bind().await;
        listeners.push(bound.map_err(|source| ListenError::Address {
            address: address.clone(),
            source,
        })?);
    }
    Ok(listeners)
}

/// The listening sockets that the service manager has passed to this process.
fn inherited() -> Result<Vec<TcpListener>, ListenError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let taken = passed.take_tcp_listener(index).and_then(|listener| {
            let Some(listener) = listener else {
                return Ok(None);
            };
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener).map(Some)
        });
        let listener = taken.map_err(|source| ListenError::Socket { index, source })?;
        listeners.extend(listener);
    }
    if listeners.is_empty() {
        return Err(ListenError::NoSocket);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn addresses_are_read_as_prometheus_writes_them() {
        for (text, host) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("localhost:0", "127.0.0.1"),
            (":0", "::"),
        ] {
            let listener = address(text).bind().await.unwrap();
            let bound = listener.local_addr().unwrap();
            assert!(
                bound.ip().to_string() == host || bound.ip().is_ipv6() || text == ":0",
                "{text} became {bound}"
            );
            assert_ne!(bound.port(), 0);
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in [
            ":10064",
            ":0",
            "127.0.0.1:10064",
            "0.0.0.0:65535",
            "localhost:1",
            "exporter-0.example.com.:10064",
            "under_score:10064",
            "bücher.example:10064",
            "[::]:10064",
            "[::1]:10064",
            "[fe80::1%eth0]:10064",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_with_the_form_and_an_example() {
        // Each line: what is given, a tab, what is said of it.
        let cases = include_str!("../../tests/fixtures/cli/listen-address.txt").lines();
        let told = cases.map(|case| {
            let text = case.split('\t').next().unwrap();
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            let form = "; write HOST:PORT, such as 127.0.0.1:10064 or [::1]:10064, \
                        or :10064 for all addresses";
            let problem = error.strip_suffix(form).expect(&error);
            format!("{text}\t{problem}\n")
        });
        let told: String = told.collect();
        expect_file!["../../tests/fixtures/cli/listen-address.txt"].assert_eq(&told);
    }

    #[test]
    fn addresses_clash_where_one_leaves_nothing_for_the_other() {
        let clash = |one: &str, other: &str, both_families| {
            let (one, other) = (address(one), address(other));
            one.covers(&other, both_families) || other.covers(&one, both_families)
        };
        for (one, other) in [
            (":9100", ":9100"),
            (":9100", "[::]:9100"),
            ("[::]:9100", "[::1]:9100"),
            ("0.0.0.0:9100", "127.0.0.1:9100"),
            ("127.0.0.1:9100", "127.0.0.1:9100"),
            ("[::ffff:127.0.0.1]:9100", "127.0.0.1:9100"),
            ("[::1]:9100", "[0:0::1]:9100"),
            ("[fe80::1%eth0]:9100", "[fe80::1%eth0]:9100"),
            ("localhost:9100", "LocalHost.:9100"),
        ] {
            assert!(clash(one, other, true), "{one} {other}");
            assert!(clash(one, other, false), "{one} {other}");
        }
        for (one, other) in [
            (":9100", "127.0.0.1:9100"),
            ("[::]:9100", "0.0.0.0:9100"),
            ("[::]:9100", "localhost:9100"),
        ] {
            assert!(clash(one, other, true), "{one} {other}");
            assert!(!clash(one, other, false), "{one} {other}");
        }
        for (one, other) in [
            (":9100", "127.0.0.1:9101"),
            (":0", ":0"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:9100", "[::1]:9100"),
            ("127.0.0.1:9100", "127.0.0.2:9100"),
            ("127.0.0.1:9100", "[::1]:9100"),
            ("[fe80::1%eth0]:9100", "[fe80::1%eth1]:9100"),
            // What a name stands for is not known yet.
            ("localhost:9100", "127.0.0.1:9100"),
            ("0.0.0.0:9100", "localhost:9100"),
            ("a.example:9100", "b.example:9100"),
        ] {
            assert!(!clash(one, other, true), "{one} {other}");
        }
    }

    /// What the check says of two addresses is what the system does.
    #[tokio::test]
    async fn addresses_that_clash_are_those_that_cannot_be_listened_on_together() {
        let free = address("127.0.0.1:0").bind().await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let hosts = ["", "0.0.0.0", "127.0.0.1", "127.0.0.2", "[::]", "[::1]"];
        for (one, other) in hosts.iter().flat_map(|one| hosts.map(|other| (one, other))) {
            let one = address(&format!("{one}:{port}"));
            let other = address(&format!("{other}:{port}"));
            if one.bind().await.is_err() || other.bind().await.is_err() {
                // A machine without IPv6.
                continue;
            }
            let together = listen(false, &[one.clone(), other.clone()]).await;
            let found = clash(&[&one, &other]);
            assert_eq!(together.is_err(), found.is_some(), "{one} {other}");
        }
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_an_error_with_a_remedy() {
        let taken = address("127.0.0.1:0").bind().await.unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        for text in [taken.as_str(), "no-such-host.invalid:0"] {
            let error = listen(false, &[address(text)]).await.unwrap_err();
            let error = error.to_string();
            assert!(error.contains(text), "{error}");
            assert!(error.contains("--web.listen-address"), "{error}");
        }
    }
}
