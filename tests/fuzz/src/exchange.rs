//! Requests to a server in this process, over one connection.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// A runtime on which a server runs, and a connection to the server.
pub struct Exchange {
    runtime: Runtime,
    address: SocketAddr,
    connection: Option<TcpStream>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that comes once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} comes twice");
        value.map(|(_, value)| value.as_str())
    }
}

/// The headers that decide where a request ends, which are written here.
const OWN: [&str; 6] = [
    "connection",
    "content-length",
    "expect",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The headers that the lines `name: value` are, without those that make no header.
pub fn headers(lines: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let lines = lines.split(|byte| *byte == b'\n');
    let headers = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        (!OWN.contains(&name.as_str())).then_some((name, value))
    });
    headers.take(50).collect()
}

impl Exchange {
    /// Starts a server.
    pub fn with<F: Future<Output = SocketAddr>>(server: impl FnOnce() -> F) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let address = runtime.block_on(server());
        Self {
            runtime,
            address,
            connection: None,
        }
    }

    /// The answer to a request.
    pub fn ask(
        &mut self,
        start: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &[u8],
    ) -> Answer {
        let mut request = format!("{start} HTTP/1.1\r\n").into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        let (address, connection) = (self.address, self.connection.take());
        let has_body = !start.starts_with("HEAD ");
        let (answer, connection) = self.runtime.block_on(async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => TcpStream::connect(address).await.expect("a connection"),
            };
            connection
                .write_all(&request)
                .await
                .expect("the request is taken");
            (receive(&mut connection, has_body).await, connection)
        });
        self.connection = (answer.header("connection") != Some("close")).then_some(connection);
        answer
    }
}

async fn receive(connection: &mut TcpStream, has_body: bool) -> Answer {
    let mut received = Vec::with_capacity(16 * 1024);
    let end = loop {
        if let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        let read = connection.read_buf(&mut received).await.expect("an answer");
        assert!(
            read > 0,
            "the connection ends before the head: {}",
            received.escape_ascii()
        );
    };
    let head = String::from_utf8(received[..end].to_vec()).expect("the head is text");
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let mut answer = Answer {
        status: status.expect("a status"),
        headers: headers.collect(),
        body: received.split_off(end + 4),
    };
    if has_body {
        let length = answer
            .header("content-length")
            .expect("the length of the answer");
        let length: usize = length.parse().expect("a length");
        while answer.body.len() < length {
            let read = connection.read_buf(&mut answer.body).await.expect("a body");
            assert!(read > 0, "the connection ends before the body");
        }
        assert_eq!(answer.body.len(), length);
    }
    answer
}
