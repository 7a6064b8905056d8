//! Addresses as Prometheus' tools write them: `:10064`, `127.0.0.1:10064`, `[::1]:10064`.

use std::io;

use tokio::net::TcpListener;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another with --web.listen-address")]
pub struct ListenError {
    address: String,
    source: io::Error,
}

/// Listens on `address`, `HOST:PORT`. Without a host that is every address of this
/// machine, of both families where there are two; port 0 is any free one.
///
/// # Errors
///
/// When the address is malformed, not of this machine, or in use.
pub async fn bind(address: &str) -> Result<TcpListener, ListenError> {
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
    bound.map_err(|source| ListenError {
        address: address.to_owned(),
        source,
    })
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
