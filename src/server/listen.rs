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
    /// Without brackets; none for every address.
    host: Option<String>,
    port: u16,
}

/// A text is not a [`ListenAddress`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{problem}; write HOST:PORT, such as 127.0.0.1:10064 or [::1]:10064, or :10064 for all addresses"
)]
pub struct NotAnAddress {
    /// What is wrong with the text.
    pub problem: &'static str,
}

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = |problem| Err(NotAnAddress { problem });
        for (is_wrong, problem) in [
            (text.is_empty(), "the address is empty"),
            (
                text.contains("://"),
                "an address has no scheme such as http://",
            ),
            (text.contains('/'), "an address has no path"),
            (text.contains(','), "an address has no comma"),
            (is_number(text), "the port has no colon before it"),
            (
                text.parse::<Ipv6Addr>().is_ok(),
                "an IPv6 address needs brackets and a port",
            ),
        ] {
            if is_wrong {
                return wrong(problem);
            }
        }
        let bracketed = text.strip_prefix('[');
        let (host, port) = match bracketed {
            Some(rest) => match rest.split_once(']') {
                Some(parts) => parts,
                None => return wrong("the bracket after the IPv6 address is missing"),
            },
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = port.strip_prefix(':').unwrap_or_default();
        for (is_wrong, problem) in [
            (port.is_empty(), "the port is missing"),
            (
                port.contains(':'),
                "an IPv6 address needs brackets and a port",
            ),
            (!is_number(port), "the port is not a number"),
        ] {
            if is_wrong {
                return wrong(problem);
            }
        }
        let Ok(port) = port.parse() else {
            return wrong("a port is at most 65535");
        };
        if bracketed.is_some() {
            // A zone, as in `fe80::1%eth0`, is an interface of this machine.
            let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
            if address.parse::<Ipv6Addr>().is_err() || zone.is_empty() {
                return wrong("the text in the brackets is not an IPv6 address");
            }
        } else if host == "*" {
            return wrong("* is no host; leave the host out");
        } else if !host.chars().all(is_of_a_name) || host.starts_with(['-', '.']) {
            return wrong("the host is neither an IP address nor a name");
        } else {
            let last = host.trim_end_matches('.').rsplit('.').next();
            if last.is_some_and(is_number) && host.parse::<Ipv4Addr>().is_err() {
                return wrong("the host is not an IPv4 address");
            }
        }
        Ok(Self {
            host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            port,
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_of_a_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// The form that [`FromStr`] reads.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{}:{}", host.unwrap_or_default(), self.port),
        }
    }
}

impl ListenAddress {
    /// Whether only programs of this machine can connect, as far as that is known without
    /// name resolution.
    #[must_use]
    pub fn may_be_loopback(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }

    /// The IP address of the host, unless the host is a name.
    fn ip(&self) -> Option<IpAddr> {
        let Some(host) = self.host.as_deref() else {
            return Some(Ipv6Addr::UNSPECIFIED.into());
        };
        let (host, _zone) = host.split_once('%').unwrap_or((host, ""));
        host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Whether `other` cannot be bound beside this address, as far as that is known without
    /// name resolution. With `both_families`, `[::]` includes the IPv4 addresses.
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

    /// The socket addresses of the host; a name is resolved.
    ///
    /// # Errors
    ///
    /// When the name cannot be resolved.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self.host.as_deref() {
            Some(host) => Ok(tokio::net::lookup_host((host, self.port)).await?.collect()),
            None => Ok(vec![(Ipv6Addr::UNSPECIFIED, self.port).into()]),
        }
    }

    /// Binds a listener. Without a host it accepts IPv6 and IPv4.
    async fn bind(&self) -> io::Result<TcpListener> {
        let addresses = self.resolve().await?;
        match TcpListener::bind(addresses.as_slice()).await {
            // IPv6 may be disabled on this machine.
            Err(error) if self.host.is_none() && error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port)).await
            }
            bound => bound,
        }
    }
}

/// Two of `addresses` that cannot be bound together, as far as that is known without name
/// resolution.
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

/// Whether a listener on `[::]` accepts IPv4 too, by the setting of the kernel.
fn has_both_families() -> bool {
    let apart = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    apart.map_or(true, |apart| apart.trim() != "1")
}

/// No listener can be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address cannot be bound.
    #[error(
        "cannot listen on {address}: {source}; choose another address with --web.listen-address"
    )]
    Address {
        /// The configured address.
        address: ListenAddress,
        /// The error of the system.
        source: io::Error,
    },
    /// The service manager has passed no socket to this process.
    #[error(
        "--web.systemd-socket: no socket was passed (LISTEN_FDS, LISTEN_PID); start the \
         exporter by its .socket unit, or leave the flag out"
    )]
    NoSocket,
    /// A socket that was passed is not a TCP listener.
    #[error(
        "--web.systemd-socket: socket {index} of the passed sockets cannot be used: {source}; pass \
         TCP sockets only (ListenStream= with a port)"
    )]
    Socket {
        /// The number of the socket, counted from 0.
        index: usize,
        /// The error of the system.
        source: io::Error,
    },
}

/// The listeners: the sockets passed by the service manager if `inherited`, otherwise new
/// ones on `addresses`.
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
        let listener = address.bind().await.map_err(|source| {
            let address = address.clone();
            ListenError::Address { address, source }
        });
        listeners.push(listener?);
    }
    Ok(listeners)
}

/// The listening sockets that the service manager has passed to this process.
fn inherited() -> Result<Vec<TcpListener>, ListenError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let listener = passed.take_tcp_listener(index).and_then(|listener| {
            let prepare = |listener: std::net::TcpListener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            };
            listener.map(prepare).transpose()
        });
        listeners.extend(listener.map_err(|source| ListenError::Socket { index, source })?);
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
    fn a_malformed_address_is_refused_with_the_form_and_an_example() {
        // Each line: the text, a tab, the problem.
        let cases = include_str!("../../tests/fixtures/cli/listen-address.txt").lines();
        let refusals = cases.map(|case| {
            let text = case.split('\t').next().unwrap();
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            let form = "; write HOST:PORT, such as 127.0.0.1:10064 or [::1]:10064, \
                        or :10064 for all addresses";
            let problem = error.strip_suffix(form).expect(&error);
            format!("{text}\t{problem}\n")
        });
        let refusals: String = refusals.collect();
        expect_file!["../../tests/fixtures/cli/listen-address.txt"].assert_eq(&refusals);
    }

    #[test]
    fn addresses_clash_where_both_cannot_be_bound() {
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
            // The addresses of names are not known yet.
            ("localhost:9100", "127.0.0.1:9100"),
            ("0.0.0.0:9100", "localhost:9100"),
            ("a.example:9100", "b.example:9100"),
        ] {
            assert!(!clash(one, other, true), "{one} {other}");
        }
    }

    /// The check agrees with the system.
    #[tokio::test]
    async fn exactly_the_addresses_that_clash_cannot_be_bound_together() {
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
    async fn an_address_that_cannot_be_bound_is_an_error_with_a_remedy() {
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
