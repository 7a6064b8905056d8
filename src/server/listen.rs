//! Addresses as Prometheus' tools write them: `:10064`, `127.0.0.1:10064`, `[::1]:10064`.

use std::io;

use listenfd::ListenFd;
use tokio::net::TcpListener;

/// There is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --web.listen-address")]
    Address {
        /// As it was given.
        address: String,
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
    addresses: &[String],
) -> Result<Vec<TcpListener>, ListenError> {
    if inherited {
        return self::inherited();
    }
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(bind(address).await?);
    }
    Ok(listeners)
}

/// Listens on `address`, `HOST:PORT`. Without a host that is every address of this
/// machine, of both families where there are two; port 0 is any free one.
async fn bind(address: &str) -> Result<TcpListener, ListenError> {
    let bound = match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            // Where IPv6 is switched off, the other family is all there is.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            bound => bound,
        },
        None => TcpListener::bind(address).await,
    };
    bound.map_err(|source| ListenError::Address {
        address: address.to_owned(),
        source,
    })
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
    use super::*;

    #[tokio::test]
    async fn addresses_are_read_as_prometheus_writes_them() {
        for (address, host) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("localhost:0", "127.0.0.1"),
            (":0", "::"),
        ] {
            let listener = bind(address).await.unwrap();
            let bound = listener.local_addr().unwrap();
            assert!(
                bound.ip().to_string() == host || bound.ip().is_ipv6() || address == ":0",
                "{address} became {bound}"
            );
            assert_ne!(bound.port(), 0);
        }
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_an_error_with_a_remedy() {
        let taken = bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for address in [
            address.as_str(),
            "10064",
            "127.0.0.1:port",
            "127.0.0.1:70000",
        ] {
            let error = bind(address).await.unwrap_err().to_string();
            assert!(error.contains(address), "{error}");
            assert!(error.contains("--web.listen-address"), "{error}");
        }
    }
}
