//! What a proxy answers to a request for a tunnel.
//!
//! The HTTP client only reports that there is no tunnel. So the proxy is asked once more for
//! its status.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::ProxyUrl;

/// The longest first line that is read, in bytes.
const LONGEST_LINE: usize = 8 * 1024;

/// The status by which `proxy` answers to a request for a tunnel to `service`.
pub(super) async fn status(proxy: &ProxyUrl, service: &Url, tls: &ClientConfig) -> Option<u16> {
    let url = proxy.expose();
    let host = bare_host(url)?;
    let stream = TcpStream::connect((host, url.port_or_known_default()?));
    let stream = stream.await.ok()?;
    let request = request(url, service)?;
    let line = if url.scheme() == "https" {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let connector = TlsConnector::from(Arc::new(tls.clone()));
        ask(connector.connect(name, stream).await.ok()?, &request).await
    } else {
        ask(stream, &request).await
    };
    read(&line.ok()?)
}

/// The host of `url`, an IPv6 address without its brackets.
fn bare_host(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

fn request(proxy: &Url, service: &Url) -> Option<String> {
    let target = format!(
        "{}:{}",
        service.host_str()?,
        service.port_or_known_default()?
    );
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if !proxy.username().is_empty() || proxy.password().is_some() {
        let (user, password) = (proxy.username(), proxy.password().unwrap_or_default());
        let parts = percent_decode_str(user).chain(*b":");
        let login: Vec<u8> = parts.chain(percent_decode_str(password)).collect();
        let login = STANDARD.encode(login);
        request += &format!("Proxy-Authorization: Basic {login}\r\n");
    }
    Some(request + "\r\n")
}

/// Sends `request` and reads the first line of the answer.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < LONGEST_LINE {
        if stream.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    Ok(line)
}

/// The status in the line `HTTP/1.1 403 Forbidden`.
fn read(line: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\r').next()?);
    let mut words = line.split_ascii_whitespace();
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    (version.starts_with("HTTP/") && (100..600).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::net::TcpListener;
    use tokio_util::io::StreamReader;

    use super::*;
    use crate::cloud::trust::Trust;

    #[test]
    fn the_first_line_tells_the_status() {
        for (line, status) in [
            (&b"HTTP/1.1 403 Forbidden\r\nX: y\r\n"[..], Some(403)),
            (b"HTTP/1.0 407\r\n", Some(407)),
            (b"HTTP/1.1 502 \xe9\r\n", Some(502)),
            (b"SSH-2.0-x 200\r\n", None),
            (b"HTTP/1.1 99 x\r\n", None),
            (b"HTTP/1.1 100 x\r\n", Some(100)),
            (b"HTTP/1.1 599 x\r\n", Some(599)),
            (b"HTTP/1.1 600 x\r\n", None),
            (b"HTTP/1.1\r\n", None),
            (b"HTTP/1.1 OK\r\n", None),
            (b"", None),
        ] {
            assert_eq!(read(line), status, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_line_is_read_to_its_end_or_that_of_the_connection_and_never_without_end() {
        let long = vec![b'x'; 100_000];
        for (answer, whole) in [
            (&b"HTTP/1.1 403 Forbidden\r\n"[..], true),
            (b"HTTP/1.1 403", true),
            (b"", true),
            (&long, false),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(200_000);
            theirs.write_all(answer).await.unwrap();
            theirs.shutdown().await.unwrap();
            let line = ask(ours, "CONNECT").await.unwrap();
            assert_eq!(line == answer, whole);
            assert!(line.len() <= 2 * LONGEST_LINE, "{}", line.len());
            let mut asked = Vec::new();
            theirs.read_to_end(&mut asked).await.unwrap();
            assert_eq!(asked, b"CONNECT");
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_an_error() {
        let (ours, theirs) = tokio::io::duplex(100);
        drop(theirs);
        assert!(ask(ours, "CONNECT").await.is_err());
        let reset = stream::iter([Err::<Bytes, _>(io::Error::other("reset"))]);
        let stream = tokio::io::join(StreamReader::new(reset), tokio::io::sink());
        assert!(ask(stream, "CONNECT").await.is_err());
    }

    #[tokio::test]
    async fn what_hangs_up_or_cannot_be_asked_has_no_status() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = other.local_addr().unwrap();
        drop(other);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // With something unread, it is reset.
                stream.readable().await.unwrap();
            }
        });
        let tls = Trust::Nobody.read().unwrap().client_config().unwrap();
        for (proxy, service) in [
            (format!("http://{closed}"), "https://cwp.example/"),
            (format!("http://{open}"), "https://cwp.example/"),
            (format!("https://{open}"), "https://cwp.example/"),
            (format!("http://{open}"), "data:no-host"),
            (format!("http://{open}"), "other://without-a-port/"),
        ] {
            let service = Url::parse(service).unwrap();
            let found = status(&proxy.parse().unwrap(), &service, &tls).await;
            assert_eq!(found, None, "{proxy} {service}");
        }
    }

    #[test]
    fn an_ipv6_address_has_brackets_in_the_url_alone() {
        for (url, host) in [
            ("http://[::1]:3128", "::1"),
            ("http://127.0.0.1:3128", "127.0.0.1"),
            ("http://proxy", "proxy"),
        ] {
            assert_eq!(bare_host(&Url::parse(url).unwrap()), Some(host));
        }
        assert_eq!(bare_host(&Url::parse("data:x").unwrap()), None);
    }

    #[test]
    fn a_login_is_sent_as_it_was_meant() {
        let proxy = Url::parse("http://me:p%2Fw%C3%A9%zz@proxy").unwrap();
        let service = Url::parse("https://cwp.example/").unwrap();
        let login = STANDARD.encode("me:p/wé%zz");
        let expected = format!(
            "CONNECT cwp.example:443 HTTP/1.1\r\nHost: cwp.example:443\r\n\
             Proxy-Authorization: Basic {login}\r\n\r\n"
        );
        assert_eq!(request(&proxy, &service), Some(expected));
        let proxy = Url::parse("http://proxy").unwrap();
        let expected = "CONNECT cwp.example:443 HTTP/1.1\r\nHost: cwp.example:443\r\n\r\n";
        assert_eq!(request(&proxy, &service).as_deref(), Some(expected));
    }
}
